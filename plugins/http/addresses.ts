import { lookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { HttpCallError } from './errors.ts'

/** Says whether an address may be connected to. */
export type AddressCheck = (address: string) => boolean

/** What else IPv6 has is private, for few, or another way to write an IPv4 address: mapped, NAT64, 6to4. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3')
/** Of clouds whose metadata are at a public address: Azure. Those of the others are link-local or private. */
const METADATA = new Set(['168.63.129.16'])

/**
 * The addresses that URLs of users may lead to: public ones, and those allowed beside them.
 * @param allowed addresses and CIDR ranges
 */
export function publicAddresses (allowed: string[]): AddressCheck {
  const exceptions = new BlockList()
  for (const entry of allowed) {
    const [address = '', prefix] = entry.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    exceptions.addSubnet(address, Number(prefix ?? (family === 'ipv6' ? 128 : 32)), family)
  }
  return address => isIP(address) !== 0 && !address.includes('%') && (isPublic(address) || exceptions.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4'))
}

function isPublic (address: string): boolean {
  const parsed = ipaddr.parse(address)
  if (parsed.range() !== 'unicast' || METADATA.has(address)) return false
  return parsed.kind() === 'ipv4' || parsed.match(GLOBAL_UNICAST)
}

/**
 * The lookup of connections for URLs of users. What it gives is what is connected to: a name that leads
 * elsewhere the next time is checked the next time. One address that is refused refuses the name.
 */
export function checkedLookup (isAllowed: AddressCheck, resolve = lookup): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => {
      const [first] = addresses ?? []
      if (error !== null || first === undefined) return callback(error ?? new Error('The name has no address'), '', 0)
      if (!addresses.every(({ address }) => isAllowed(address))) return callback(refusal('leads to an address that is not public'), '', 0)
      if (options.all) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}

/**
 * Reads a URL to call.
 * @param untrusted the check of a URL of users, and whether http will do
 * @throws HttpCallError ADDRESS_REFUSED
 */
export function readUrl (text: string | URL, untrusted?: { isAllowed: AddressCheck, allowsHttp: boolean }): URL {
  const url = URL.parse(String(text))
  if (url === null) throw refusal('is none')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refusal('is neither http nor https')
  if (url.username !== '' || url.password !== '') throw refusal('has a user name or password')
  if (untrusted === undefined) return url
  if (url.protocol === 'http:' && !untrusted.allowsHttp) throw refusal('is not https')
  // The parser has made a plain address of every spelling (0x7f.1, 2130706433); no lookup comes for those.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 && !untrusted.isAllowed(host)) throw refusal('leads to an address that is not public')
  return url
}

/** Says no more, as it may be told to who gave the URL. */
function refusal (why: string): HttpCallError {
  return new HttpCallError('ADDRESS_REFUSED', `The URL ${why}.`)
}

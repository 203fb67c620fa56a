import type { lookup } from 'node:dns'
import t from 'tap'
import { publicAddresses } from '../../plugins/http/addresses.ts'
import { failureOf, json, startUpstream, withHttp } from '../helpers/upstream.ts'

/** A resolver that answers with these addresses, one list after the other. */
function resolver (...lists: string[][]): { resolve: typeof lookup, asked: () => number } {
  let asked = 0
  const resolve = (_name: string, _options: object, callback: (error: null, addresses: object[]) => void) => {
    const list = lists[Math.min(asked++, lists.length - 1)] ?? []
    setImmediate(callback, null, list.map(address => ({ address, family: address.includes(':') ? 6 : 4 })))
  }
  return { resolve: resolve as unknown as typeof lookup, asked: () => asked }
}

t.test('only public addresses are', async t => {
  const isAllowed = publicAddresses([])
  const refused = [
    '0.0.0.0', '0.1.2.3', '10.0.0.1', '100.64.0.1', '100.100.100.200', '127.0.0.1', '127.255.255.254', '169.254.169.254', '172.16.0.1', '172.31.255.255',
    '192.0.0.192', '192.0.2.1', '192.168.1.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255', '168.63.129.16',
    '::', '::1', 'fe80::1', 'fe80::1%eth0', 'fc00::1', 'fd00:ec2::254', 'ff02::1', 'fec0::1', '2001:db8::1', '2001::1', '100::1', '5f00::1', '4000::1',
    // IPv4 in IPv6: mapped, compatible, translated, NAT64, its local form, 6to4.
    '::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:8.8.8.8', '::127.0.0.1', '::ffff:0:127.0.0.1', '64:ff9b::7f00:1', '64:ff9b::10.0.0.1', '64:ff9b:1::1', '2002:7f00:1::1',
    '', 'localhost', '1', '0x7f.1', '127.1'
  ]
  for (const address of refused) t.notOk(isAllowed(address), address)
  for (const address of ['8.8.8.8', '1.1.1.1', '172.32.0.1', '100.128.0.1', '2606:4700:4700::1111', '2a00:1450:4001::1']) t.ok(isAllowed(address), address)
})

t.test('what is allowed beside them is, and no more', async t => {
  const isAllowed = publicAddresses(['10.1.0.0/16', '192.168.1.1', 'fd00:1::/32'])
  for (const address of ['10.1.2.3', '192.168.1.1', 'fd00:1::5', '8.8.8.8']) t.ok(isAllowed(address), address)
  for (const address of ['10.2.0.1', '192.168.1.2', 'fd00:2::1', '127.0.0.1', '::1', 'fd00:1::5%eth0']) t.notOk(isAllowed(address), address)
})

t.test('no spelling of a private address is connected to', async t => {
  const upstream = await startUpstream(t)
  const port = new URL(upstream.url).port
  const { http } = await withHttp(t)
  const hosts = [
    '127.0.0.1', '127.1', '2130706433', '0x7f.1', '0x7f000001', '017700000001', '0177.0.0.1', '127.000.000.001', '0', '0.0.0.0', '①②⑦.⓪.⓪.①', '127。0。0。1', '%31%32%37.0.0.1',
    'localhost', 'LOCALHOST', '[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::1]'
  ]
  for (const host of hosts) {
    for (const scheme of ['http', 'https']) {
      const error = await failureOf(http.request({ url: `${scheme}://${host}:${port}/`, isUntrusted: true }))
      t.match(error, { code: 'ADDRESS_REFUSED', statusCode: 500 }, `${scheme} ${host}`)
      t.notMatch(error.message, /127|\[/)
    }
  }
  t.equal(upstream.connections(), 0)
  t.equal((await http.request({ url: upstream.url })).status, 200, 'our own URLs may lead there')
})

t.test('nor are other schemes, user names, or in production http', async t => {
  const { http } = await withHttp(t, { NODE_ENV: 'production', HTTP_UNTRUSTED_ALLOW: ['127.0.0.1'] })
  const upstream = await startUpstream(t)
  const { http: inDevelopment } = await withHttp(t, { HTTP_UNTRUSTED_ALLOW: ['127.0.0.1'] })
  for (const url of ['file:///etc/passwd', 'ftp://8.8.8.8/', 'gopher://8.8.8.8/', 'data:,x', `https://${'ada:secret'}@8.8.8.8/`, 'https://ada@8.8.8.8/', '//8.8.8.8', 'http://[fe80::1%25eth0]/', 'http://8.8.8.8:99999/', '', upstream.url]) {
    t.equal((await failureOf(http.request({ url, isUntrusted: true }))).code, 'ADDRESS_REFUSED', url)
  }
  t.equal(upstream.connections(), 0)
  t.equal((await inDevelopment.request({ url: upstream.url, isUntrusted: true })).status, 200)
})

t.test('a name is refused for one private address among public ones', async t => {
  const upstream = await startUpstream(t)
  const port = new URL(upstream.url).port
  for (const addresses of [['127.0.0.1'], ['8.8.8.8', '127.0.0.1'], ['127.0.0.1', '8.8.8.8'], ['2606:4700:4700::1111', '::ffff:127.0.0.1']]) {
    const { resolve } = resolver(addresses)
    const { http } = await withHttp(t, {}, { resolve })
    t.equal((await failureOf(http.request({ url: `http://evil.example:${port}`, isUntrusted: true }))).code, 'ADDRESS_REFUSED', String(addresses))
  }
  t.equal(upstream.connections(), 0)
})

t.test('a name that leads elsewhere after the check is connected to where it led then, and refused the next time', async t => {
  const outer = await startUpstream(t, { host: '127.0.0.2' })
  const inner = await startUpstream(t, { port: Number(new URL(outer.url).port) })
  outer.answer = (_request, response) => json(response, {}, 200, { connection: 'close' })
  const { resolve, asked } = resolver(['127.0.0.2'], ['127.0.0.1'])
  // As if it were public.
  const { http } = await withHttp(t, { HTTP_UNTRUSTED_ALLOW: ['127.0.0.2'] }, { resolve })
  const url = `http://rebinding.example:${new URL(outer.url).port}/`
  t.equal((await http.request({ url, isUntrusted: true })).status, 200)
  t.equal(asked(), 1, 'one lookup, which is both checked and used')
  t.match(outer.requests[0]?.headers.host, /^rebinding\.example:/)
  t.equal((await failureOf(http.request({ url, isUntrusted: true }))).code, 'ADDRESS_REFUSED')
  t.equal(asked(), 2, 'and what is refused is not tried again')
  t.equal(inner.connections(), 0)
})

t.test('a connection of our own calls is not used for URLs of users', async t => {
  const upstream = await startUpstream(t)
  const url = upstream.url.replace('127.0.0.1', 'localhost')
  const { http } = await withHttp(t)
  t.equal((await http.request({ url })).status, 200)
  t.equal((await failureOf(http.request({ url, isUntrusted: true }))).code, 'ADDRESS_REFUSED')
  t.equal(upstream.requests.length, 1)
})

t.test('a name without an address is UPSTREAM_UNREACHABLE', async t => {
  const { http } = await withHttp(t, {}, { resolve: resolver([]).resolve })
  t.equal((await failureOf(http.request({ url: 'http://nothing.example', isUntrusted: true }))).code, 'UPSTREAM_UNREACHABLE')
})

import { createPrivateKey, type KeyObject } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { Type } from 'typebox'

/** What a setting says of itself beside its type. */
export interface Setting {
  /** Value used when the variable is not set; read like a value of the environment. */
  default?: string | number
  /** Default in production, where it differs; null: none. */
  production?: string | number | null
  /** 'production': the start fails there without it. */
  required?: 'production'
  /** The setting that takes its place: with it, this one is not required, and both together are a mistake. */
  unless?: string
  /** The setting that must be there with this one. */
  needs?: string
  /** Never printed, and also read from the file that NAME_FILE names. */
  secret?: boolean
}

/** Turns a non-empty text of the environment into a value, or throws an Error that says what was expected. */
export type Reader = (text: string, schema: Record<string, unknown>) => unknown

const MAX_URLS = 20

export const readers: Record<string, Reader> = {
  text (value, { enum: allowed, minLength = 1, maxLength = Infinity, format, pattern, expected }) {
    if (Array.isArray(allowed) && !allowed.includes(value)) throw new Error(`expected one of ${allowed.join(', ')}`)
    if (value.length < Number(minLength)) throw new Error(`expected at least ${minLength} characters`)
    if (value.length > Number(maxLength)) throw new Error(`expected at most ${maxLength} characters`)
    if (format === 'email' && !/^[^@\s]+@[^@\s]+$/.test(value)) throw new Error('expected an e-mail address')
    if (typeof pattern === 'string' && !new RegExp(pattern).test(value)) throw new Error(`expected ${String(expected)}`)
    return value
  },
  integer (value, { minimum, maximum }) {
    if (!/^-?\d+$/.test(value)) throw new Error('expected a whole number')
    return within(Number(value), minimum, maximum, '')
  },
  duration (value, { minimum, maximum }) {
    const match = /^(\d+)(ms|s|m|h|d)$/.exec(value)
    if (!match) throw new Error('expected a duration such as 500ms, 2s, 15m, 12h or 30d')
    const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] ?? 'ms'] ?? 1
    return within(Number(match[1]) * unit, minimum, maximum, ' ms')
  },
  bytes (value, { minimum, maximum }) {
    const match = /^(\d+)(KiB|MiB)?$/.exec(value)
    if (!match) throw new Error('expected a number of bytes, or such as 512KiB or 2MiB')
    const unit = match[2] === 'MiB' ? 1024 * 1024 : match[2] === 'KiB' ? 1024 : 1
    return within(Number(match[1]) * unit, minimum, maximum, ' bytes')
  },
  url (value, { protocols }) {
    const allowed = Array.isArray(protocols) ? protocols : []
    const url = URL.parse(value)
    if (url === null || !allowed.includes(url.protocol)) {
      throw new Error(`expected a URL that starts with ${allowed.map(name => `${name}//`).join(' or ')}`)
    }
    if (!isEncoded(url.username) || !isEncoded(url.password)) throw new Error('expected user name and password percent-encoded')
    if (/^rediss?:$/.test(url.protocol) && !/^\/?\d*$/.test(url.pathname)) throw new Error('expected the number of a database, or nothing, behind the host')
    return value
  },
  keysUrl: secureUrl,
  secureUrlList (value) {
    const urls = [...new Set(items(value).map(secureUrl))]
    if (urls.length > MAX_URLS) throw new Error(`expected at most ${MAX_URLS} URLs`)
    return urls
  },
  webhookSecrets (value) {
    const secrets = value.split(/[\s,]+/).filter(secret => secret !== '')
    for (const secret of secrets) {
      const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? []
      const { length } = Buffer.from(base64, 'base64')
      if (length < 24 || length > 64) throw new Error('expected whsec_ and 24 to 64 random bytes in base64, or several of these')
    }
    return secrets
  },
  originList: value => items(value).map(origin => {
    // An exact origin (RFC 6454): no path, no wildcard, no "null".
    if (!URL.canParse(origin) || !/^https?:$/.test(new URL(origin).protocol) || new URL(origin).origin !== origin) {
      throw new Error(`expected origins such as https://app.example.com; "${origin}" is none`)
    }
    return origin
  }),
  trustList: value => items(value).map(entry => {
    const [address = '', prefix] = entry.split('/')
    const family = isIP(address)
    try {
      if (family === 0) throw new Error('not an address')
      if (prefix !== undefined) {
        if (!/^\d{1,3}$/.test(prefix)) throw new Error('not a prefix')
        new BlockList().addSubnet(address, Number(prefix), family === 6 ? 'ipv6' : 'ipv4')
      }
    } catch {
      throw new Error(`expected IP addresses or CIDR ranges; "${entry}" is neither`)
    }
    return entry
  }),
  pem (value) {
    // One line with \n in it is how many secret stores hand out a PEM.
    const text = value.replaceAll('\\n', '\n')
    if (readPrivateKeys(text).length === 0) throw new Error('expected a private key in PKCS#8 PEM')
    return text
  }
}

function isEncoded (text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/**
 * Reads the private keys of a PEM text, in order.
 * Throws when one is damaged or is neither Ed25519 nor P-256.
 */
export function readPrivateKeys (text: string): KeyObject[] {
  const blocks = text.match(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g) ?? []
  return blocks.map(block => {
    let key: KeyObject
    try {
      key = createPrivateKey(block)
    } catch {
      throw new Error('a private key cannot be read: expected unencrypted PKCS#8 PEM')
    }
    const curve = key.asymmetricKeyDetails?.namedCurve
    if (key.asymmetricKeyType !== 'ed25519' && curve !== 'prime256v1') throw new Error('expected Ed25519 or P-256 keys')
    return key
  })
}

/** The URL of a service that is trusted with something, or that something is taken from. */
function secureUrl (value: string): string {
  const { protocol, hostname, username, password } = URL.parse(value) ?? {}
  const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname ?? '')
  if (protocol !== 'https:' && !(protocol === 'http:' && isLocal)) throw new Error('expected a URL that starts with https:// (http:// on this machine alone)')
  if (username !== '' || password !== '') throw new Error('expected a URL without a user name and password')
  return value
}

function items (value: string): string[] {
  return value.split(',').map(item => item.trim()).filter(item => item !== '')
}

function within (value: number, minimum: unknown, maximum: unknown, unit: string): number {
  if (!Number.isSafeInteger(value) || value < Number(minimum) || value > Number(maximum)) {
    throw new Error(`expected ${minimum} to ${maximum}${unit}`)
  }
  return value
}

type Limits = { minimum: number, maximum: number }
/** `expected` says in words what `pattern` takes. */
type Text = { enum?: string[], minLength?: number, maxLength?: number, format?: string } & ({ pattern?: undefined } | { pattern: string, expected: string })

// One factory a kind: each gives a TypeBox type that names the reader of its values.
export const text = (description: string, setting: Setting & Text = {}) => Type.String({ description, kind: 'text', ...setting })
export const integer = (description: string, setting: Setting & Limits) => Type.Integer({ description, kind: 'integer', ...setting })
export const duration = (description: string, setting: Setting & Limits) => Type.Integer({ description, kind: 'duration', ...setting })
export const bytes = (description: string, setting: Setting & Limits) => Type.Integer({ description, kind: 'bytes', ...setting })
export const url = (description: string, setting: Setting & { protocols: string[] }) => Type.String({ description, kind: 'url', ...setting })
export const keysUrl = (description: string, setting: Setting) => Type.String({ description, kind: 'keysUrl', ...setting })
export const secureUrlList = (description: string, setting: Setting) => Type.Array(Type.String(), { description, kind: 'secureUrlList', ...setting })
export const webhookSecrets = (description: string, setting: Setting) => Type.Array(Type.String(), { description, kind: 'webhookSecrets', ...setting })
export const originList = (description: string, setting: Setting) => Type.Array(Type.String(), { description, kind: 'originList', ...setting })
export const trustList = (description: string, setting: Setting) => Type.Array(Type.String(), { description, kind: 'trustList', ...setting })
export const pem = (description: string, setting: Setting) => Type.String({ description, kind: 'pem', ...setting })

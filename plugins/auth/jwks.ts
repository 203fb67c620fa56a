import { createPublicKey } from 'node:crypto'
import type { PublicKey } from './keys.ts'

const MAX_KEYS = 100
const MIN_RSA_BITS = 2048

/**
 * The keys of a JSON Web Key Set (RFC 7517) that may verify tokens, by their id.
 * What is not asymmetric, too weak, nameless or for another use is left out.
 * @throws Error when the text is no key set
 */
export function readJwks (text: string): Map<string, PublicKey> {
  const { keys } = JSON.parse(text) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new Error('not a JSON Web Key Set')
  const usable = new Map<string, PublicKey>()
  for (const jwk of keys.slice(0, MAX_KEYS)) {
    const key = publicKey(jwk)
    if (key !== undefined && !usable.has(key.kid)) usable.set(key.kid, key)
  }
  return usable
}

function publicKey (jwk: Record<string, unknown>): PublicKey | undefined {
  try {
    const { kid, use, key_ops: operations } = jwk
    const algorithm = algorithmOf(jwk)
    if (typeof kid !== 'string' || algorithm === undefined) return undefined
    if (use !== undefined && use !== 'sig') return undefined
    if (Array.isArray(operations) && !operations.includes('verify')) return undefined
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) return undefined
    return { kid, algorithm, publicPem: String(key.export({ format: 'pem', type: 'spki' })) }
  } catch {
    return undefined
  }
}

/** The one algorithm that a key is for: its kind decides, and `alg` may not contradict. */
function algorithmOf ({ kty, crv, alg }: Record<string, unknown>): PublicKey['algorithm'] | undefined {
  // Keys for the newer name (RFC 9864) are left out: tokens with it can't be verified by fast-jwt.
  if (kty === 'OKP' && crv === 'Ed25519') return alg === undefined || alg === 'EdDSA' ? 'EdDSA' : undefined
  if (kty === 'EC' && crv === 'P-256') return alg === undefined || alg === 'ES256' ? 'ES256' : undefined
  if (kty === 'RSA') return alg === 'PS256' ? 'PS256' : alg === undefined || alg === 'RS256' ? 'RS256' : undefined
  return undefined
}

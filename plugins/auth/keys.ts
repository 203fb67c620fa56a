import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readPrivateKeys } from '../config/index.ts'

/** A public key as published (RFC 7517, RFC 8037). */
export interface Jwk { kty: string, crv: string, x: string, y?: string, kid: string, alg: string, use: string }

/** A key that verifies, and the one algorithm it is good for. */
export interface PublicKey { kid: string, algorithm: 'ES256' | 'EdDSA' | 'RS256' | 'PS256', publicPem: string }

/** A signing key with its public half. `kid` is the thumbprint of RFC 7638. */
export interface SigningKey extends PublicKey { algorithm: 'ES256' | 'EdDSA', privatePem: string, jwk: Jwk }

/**
 * The keys of a PEM text, in order: the first signs, all verify.
 * Throws when one is damaged or is neither Ed25519 nor P-256.
 */
export function loadKeys (pem: string): SigningKey[] {
  return readPrivateKeys(pem).map(privateKey => {
    const publicKey = createPublicKey(privateKey)
    const algorithm = privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256'
    const { kty = '', crv = '', x = '', y } = publicKey.export({ format: 'jwk' })
    const members = y === undefined ? { crv, kty, x } : { crv, kty, x, y }
    const kid = createHash('sha256').update(JSON.stringify(members)).digest('base64url')
    return {
      kid,
      algorithm,
      privatePem: pemOf(privateKey, 'pkcs8'),
      publicPem: pemOf(publicKey, 'spki'),
      jwk: { ...members, kid, alg: algorithm, use: 'sig' }
    }
  })
}

/** The signing key of a development data folder, made at the first start. */
export function developmentKey (dataDir: string): string {
  const file = join(dataDir, 'jwt-key.pem')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  try {
    // 'wx': of two processes that start together, one writes and both read.
    writeFileSync(file, pemOf(generateKeyPairSync('ed25519').privateKey, 'pkcs8'), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return readFileSync(file, 'utf8')
}

function pemOf (key: KeyObject, type: 'pkcs8' | 'spki'): string {
  return key.export({ format: 'pem', type: type as 'spki' }) as string
}

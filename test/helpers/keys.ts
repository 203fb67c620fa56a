import { generateKeyPairSync } from 'node:crypto'

/** A key that tokens can be signed with, as JWT_PRIVATE_KEY has it. */
export function newPrivateKey (): string {
  return String(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }))
}

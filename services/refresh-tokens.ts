import { createHash, randomBytes } from 'node:crypto'
import type { Database } from './database.ts'

/** The family that a token belongs to: one session of a user. */
export interface Family { userId: string, familyId: string, startedAt: Date }

const TOKEN_BYTES = 32

/** What is stored of a token. It is 256 random bits: a plain hash can't be guessed back. */
export function digest (token: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(token).digest())
}

/** Makes a token that is good for `ttl` milliseconds. */
export async function createToken (db: Database, { userId, familyId, startedAt }: Family, ttl: number): Promise<string> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  await db.refreshToken.create({
    data: { userId, familyId, startedAt, tokenHash: digest(token), expiresAt: new Date(Date.now() + ttl) },
    select: { id: true }
  })
  return token
}

/** Ends a session, or all of a user. */
export async function revokeTokens (db: Database, whose: { familyId: string } | { userId: string }): Promise<void> {
  // A refresh under way may add a token that the statement does not see, but only by
  // spending one that it waits for and counts: when none is left, none is to come.
  for (let count = 1; count > 0;) {
    ({ count } = await db.refreshToken.updateMany({ where: { ...whose, revokedAt: null }, data: { revokedAt: new Date() } }))
  }
}

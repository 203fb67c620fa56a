import { createHash, randomBytes, randomUUID } from 'node:crypto'
import type { PrismaClient, Role } from '../prisma/generated/client.ts'
import { inTransaction, type Database } from './database.ts'
import { DomainError } from './errors.ts'
import { hashPassword, isOutdated, verifyPassword } from './passwords.ts'
import { normalizeEmail } from './users.ts'

/** Whose session it is, and the token that continues it. */
export interface Session { user: { id: string, role: Role }, refreshToken: string }

/** How long a refresh token is good for, in milliseconds; each use starts it anew. */
export interface SessionPolicy { ttl: number }

const TOKEN_BYTES = 32

/**
 * Starts a session. An unknown e-mail address and a wrong password take the same
 * work and give the same error.
 * @throws DomainError INVALID_CREDENTIALS
 */
export async function logIn (db: Database, { email, password }: { email: string, password: string }, policy: SessionPolicy): Promise<Session> {
  const found = await db.user.findUnique({ where: { email: normalizeEmail(email) }, select: { id: true, role: true, passwordHash: true } })
  const isRight = await verifyPassword(password, found?.passwordHash)
  if (found === null || !isRight) throw new DomainError('INVALID_CREDENTIALS', 'E-mail or password is wrong.')
  const { id, role, passwordHash } = found
  if (isOutdated(passwordHash)) await db.user.update({ where: { id }, data: { passwordHash: await hashPassword(password) }, select: { id: true } })
  return { user: { id, role }, refreshToken: await createToken(db, { userId: id, familyId: randomUUID() }, policy) }
}

/**
 * Continues a session: spends the token and gives the next one.
 *
 * A token that comes again after it was spent has leaked, to whoever came first
 * or second: its whole family is revoked. A client that sends the same token
 * several times at once (two tabs) is not taken for a thief: one request
 * succeeds, and the others, which came before the token was spent, are only refused.
 * @throws DomainError INVALID_REFRESH_TOKEN
 */
export async function refresh (prisma: PrismaClient, refreshToken: string, policy: SessionPolicy): Promise<Session> {
  const arrivedAt = new Date()
  const token = await prisma.refreshToken.findUnique({ where: { tokenHash: digest(refreshToken) }, include: { user: { select: { id: true, role: true } } } })
  if (token === null || token.revokedAt !== null || token.expiresAt <= arrivedAt) throw invalid()
  if (token.usedAt !== null) {
    if (token.usedAt < arrivedAt) await revoke(prisma, token.familyId)
    throw invalid()
  }
  const next = await inTransaction(prisma, async tx => {
    const { count } = await tx.refreshToken.updateMany({ where: { id: token.id, usedAt: null, revokedAt: null }, data: { usedAt: new Date() } })
    return count === 0 ? undefined : await createToken(tx, token, policy)
  })
  if (next === undefined) throw invalid()
  return { user: token.user, refreshToken: next }
}

/** Ends the session of a refresh token. An unknown token has none: that is no error (RFC 7009, 2.2). */
export async function logOut (db: Database, refreshToken: string): Promise<void> {
  const token = await db.refreshToken.findUnique({ where: { tokenHash: digest(refreshToken) }, select: { familyId: true } })
  if (token !== null) await revoke(db, token.familyId)
}

async function createToken (db: Database, { userId, familyId }: { userId: string, familyId: string }, { ttl }: SessionPolicy): Promise<string> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  await db.refreshToken.create({
    data: { userId, familyId, tokenHash: digest(token), expiresAt: new Date(Date.now() + ttl) },
    select: { id: true }
  })
  return token
}

async function revoke (db: Database, familyId: string): Promise<void> {
  // A refresh under way may add a token that the statement does not see, but only by
  // spending one that it waits for and counts: when none is left, none is to come.
  for (let count = 1; count > 0;) {
    ({ count } = await db.refreshToken.updateMany({ where: { familyId, revokedAt: null }, data: { revokedAt: new Date() } }))
  }
}

// The token is 256 random bits: a plain hash can't be guessed back.
function digest (token: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(token).digest())
}

function invalid (): DomainError {
  return new DomainError('INVALID_REFRESH_TOKEN', 'The refresh token is unknown, spent, revoked or expired: sign in again.')
}

import { randomUUID } from 'node:crypto'
import { Prisma, type PrismaClient, type Role } from '../prisma/generated/client.ts'
import { inTransaction, type Database } from './database.ts'
import { LOCKED, NOW, uuid } from './dialect.ts'
import { DomainError } from './errors.ts'
import { throttled, type ThrottlePolicy } from './login-throttle.ts'
import { keyset, type Page, type PageQuery } from './pagination.ts'
import { hashPassword, isOutdated, verifyPassword } from './passwords.ts'
import { createToken, digest, revokeTokens, type Family } from './refresh-tokens.ts'
import { normalizeEmail } from './users.ts'

/** Whose session it is, and the token that continues it. */
export interface Session { id: string, user: { id: string, role: Role }, refreshToken: string }

/** A session as its owner sees it. */
export interface OwnSession { id: string, createdAt: Date, lastUsedAt: Date, expiresAt: Date }

/**
 * How long a refresh token is good for, in milliseconds; each use starts it anew.
 * `grace`: for how long after its use one that comes again is refused and no more.
 */
export interface SessionPolicy { ttl: number, grace: number }

/** Who wants to sign in, from which address; `signal` aborts when they are gone. */
export interface SignIn { email: string, password: string, client: string, signal?: AbortSignal }

const order = keyset('sessions', { createdAt: { column: 'created_at', kind: 'time', value: (session: OwnSession) => session.createdAt } })

/**
 * Starts a session. An unknown e-mail address and a wrong password take the same
 * work and give the same error.
 * @throws DomainError INVALID_CREDENTIALS, TOO_MANY_ATTEMPTS, TOO_BUSY
 */
export async function logIn (prisma: PrismaClient, signIn: SignIn, policy: SessionPolicy & ThrottlePolicy): Promise<Session> {
  const { password, client, signal } = signIn
  const email = normalizeEmail(signIn.email)
  const found = await prisma.user.findUnique({ where: { email }, select: { id: true, role: true, passwordHash: true } })
  const passwordHash = found?.passwordHash ?? undefined
  const isRight = await throttled(prisma, { email, client }, policy, () => verifyPassword(password, passwordHash, signal))
  if (found === null || passwordHash === undefined || !isRight) throw new DomainError('INVALID_CREDENTIALS', 'E-mail or password is wrong.')
  const user = { id: found.id, role: found.role }
  const renewed = isOutdated(passwordHash) ? await hashPassword(password, signal) : undefined
  const session = await inTransaction(prisma, async tx => {
    // Locked: a change of the password either comes before, and is seen, or after, and ends this session.
    const unchanged = await tx.$queryRaw<object[]>`SELECT id FROM users WHERE id = ${uuid(user.id)} AND password_hash = ${passwordHash} ${LOCKED}`
    if (unchanged.length === 0) return undefined
    if (renewed !== undefined) await tx.user.update({ where: { id: user.id }, data: { passwordHash: renewed }, select: { id: true } })
    const id = randomUUID()
    return { id, user, refreshToken: await createToken(tx, { userId: user.id, familyId: id, startedAt: new Date() }, policy.ttl) }
  })
  // The hash has changed since it was read: look again.
  return session ?? await logIn(prisma, signIn, policy)
}

/**
 * Continues a session: spends the token and gives the next one.
 *
 * A token that comes again after it was spent has leaked, to whoever came first
 * or second: its whole family is revoked. A client that sends the same token
 * several times at once (tabs that wake together, a retry) is not taken for a
 * thief: within the grace, and as long as the successor was not used, one that
 * comes again is only refused. Nobody gets a second successor.
 * @throws DomainError INVALID_REFRESH_TOKEN
 */
export async function refresh (prisma: PrismaClient, refreshToken: string, { ttl, grace }: SessionPolicy): Promise<Session> {
  const began = performance.now()
  const [token] = await prisma.$queryRaw<Presented[]>`
    SELECT token.id, family_id AS "familyId", user_id AS "userId", started_at AS "startedAt", expires_at AS "expiresAt",
      revoked_at AS "revokedAt", used_at AS "usedAt", users.role, ${NOW} AS now,
      EXISTS (SELECT 1 FROM refresh_tokens AS later WHERE later.family_id = token.family_id AND later.used_at > token.used_at) AS "isSucceeded"
    FROM refresh_tokens AS token JOIN users ON users.id = user_id WHERE token_hash = ${digest(refreshToken)}`
  if (token === undefined || token.revokedAt !== null || token.expiresAt <= token.now) throw invalid()
  if (token.usedAt !== null) {
    // By one clock, that of the database, however long this request has waited for it.
    const arrivedAt = token.now.getTime() - (performance.now() - began)
    if (token.isSucceeded || token.usedAt.getTime() + grace < arrivedAt) await revokeTokens(prisma, { familyId: token.familyId })
    throw invalid()
  }
  const next = await inTransaction(prisma, async tx => {
    const count = await tx.$executeRaw`
      UPDATE refresh_tokens SET used_at = ${NOW} WHERE id = ${uuid(token.id)} AND used_at IS NULL AND revoked_at IS NULL`
    return count === 0 ? undefined : await createToken(tx, token, ttl)
  })
  if (next === undefined) throw invalid()
  return { id: token.familyId, user: { id: token.userId, role: token.role }, refreshToken: next }
}

/** A refresh token that a client sends, whether its successor was used, and what time it is by the database. */
interface Presented extends Family { id: string, isSucceeded: boolean, expiresAt: Date, revokedAt: Date | null, usedAt: Date | null, role: Role, now: Date }

/** Ends the session of a refresh token. An unknown token has none: that is no error (RFC 7009, 2.2). */
export async function logOut (db: Database, refreshToken: string): Promise<void> {
  const token = await db.refreshToken.findUnique({ where: { tokenHash: digest(refreshToken) }, select: { familyId: true } })
  if (token !== null) await revokeTokens(db, { familyId: token.familyId })
}

/**
 * The sessions of a user that can go on, newest first.
 * @throws DomainError INVALID_CURSOR
 */
export async function listSessions (db: Database, userId: string, query: PageQuery): Promise<Page<OwnSession>> {
  const { after, by, take } = order.seek('-createdAt', query)
  // Of each family one token is neither spent nor revoked.
  const live = Prisma.sql`
    SELECT family_id AS id, started_at AS created_at, created_at AS last_used_at, expires_at FROM refresh_tokens
    WHERE user_id = ${uuid(userId)} AND used_at IS NULL AND revoked_at IS NULL AND expires_at > ${new Date()}`
  const sessions = await db.$queryRaw<OwnSession[]>`
    SELECT id, created_at AS "createdAt", last_used_at AS "lastUsedAt", expires_at AS "expiresAt" FROM (${live}) AS live
    WHERE ${after} ORDER BY ${by} LIMIT ${take}`
  return order.page(sessions, '-createdAt', query)
}

/** Ends one of a user's sessions. @throws DomainError NOT_FOUND, also for another's */
export async function endSession (db: Database, userId: string, familyId: string): Promise<void> {
  const live = await db.refreshToken.findFirst({ where: { familyId, userId, usedAt: null, revokedAt: null, expiresAt: { gt: new Date() } }, select: { id: true } })
  if (live === null) throw new DomainError('NOT_FOUND', 'There is no such session.')
  await revokeTokens(db, { familyId })
}

function invalid (): DomainError {
  return new DomainError('INVALID_REFRESH_TOKEN', 'The refresh token is unknown, spent, revoked or expired: sign in again.')
}

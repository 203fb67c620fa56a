import { createHash } from 'node:crypto'
import { Prisma } from '../prisma/generated/client.ts'
import type { Database } from './database.ts'
import { countFailure, deleteSome } from './dialect.ts'
import { DomainError } from './errors.ts'

/** How many wrong passwords an account takes in a window of so many milliseconds. */
export interface ThrottlePolicy { maxFailures: number, failuresWindow: number }

/** An account, by its e-mail address, whether there is one or not, and who tries it from where. */
export interface Attempt { email: string, client: string }

type Key = Uint8Array<ArrayBuffer>

/** So long after it has signed in an address counts by itself. */
const KNOWN_MS = 30 * 86_400_000
const SWEEP = 20

/**
 * Checks a password by `verify` unless the account had too many wrong ones in this window.
 * The window is short and does not grow, so that strangers can close an account only for
 * a while; and an address that has signed in before has a count of its own, so that
 * they can't close it to its owner there. Counts are in the database: all processes share them.
 * @throws DomainError TOO_MANY_ATTEMPTS, whether there is such an account or not
 */
export async function throttled (db: Database, { email, client }: Attempt, policy: ThrottlePolicy, verify: () => Promise<boolean>): Promise<boolean> {
  const anyone = keyOf(email)
  const here = keyOf(email, client)
  const isKnown = await db.loginThrottle.findFirst({ where: { key: here, knownUntil: { gt: new Date() } }, select: { key: true } }) !== null
  const key = isKnown ? here : anyone
  await refuseIfClosed(db, key, policy)
  const isRight = await verify()
  if (isRight) {
    // Many guesses at once pass the first check together: what they find out is not told.
    await refuseIfClosed(db, key, policy)
    await remember(db, here)
    if (!isKnown) await db.loginThrottle.deleteMany({ where: { key: anyone } })
  } else {
    const now = new Date()
    const count = await countFailure(db, key, { now, end: new Date(now.getTime() + policy.failuresWindow) })
    if (count.failures > policy.maxFailures) throw tooMany(count)
    if (count.failures === 1) await sweep(db)
  }
  return isRight
}

async function refuseIfClosed (db: Database, key: Key, { maxFailures }: ThrottlePolicy): Promise<void> {
  const closed = await db.loginThrottle.findFirst({ where: { key, failures: { gte: maxFailures }, windowEndsAt: { gt: new Date() } } })
  if (closed !== null) throw tooMany(closed)
}

async function remember (db: Database, key: Key): Promise<void> {
  const now = new Date()
  const until = new Date(now.getTime() + KNOWN_MS)
  const known = { failures: 0, windowEndsAt: now, knownUntil: until, expiresAt: until }
  const { count } = await db.loginThrottle.updateMany({ where: { key }, data: known })
  // Not an upsert, which not every database does in one statement: of several at once one would fail.
  if (count === 0) await db.loginThrottle.createMany({ data: [{ key, ...known }], skipDuplicates: true })
}

/** A new row takes some old ones away: the table does not grow for ever. */
async function sweep (db: Database): Promise<void> {
  await deleteSome(db, 'login_throttles', Prisma.sql`expires_at < ${new Date()}`, SWEEP)
}

// Not the address itself: what people mistype is nobody's business.
function keyOf (...parts: string[]): Key {
  return new Uint8Array(createHash('sha256').update(JSON.stringify(parts)).digest())
}

function tooMany ({ windowEndsAt }: { windowEndsAt: Date }): DomainError {
  const seconds = Math.max(1, Math.ceil((windowEndsAt.getTime() - Date.now()) / 1000))
  return new DomainError('TOO_MANY_ATTEMPTS', 'Too many wrong passwords for this account: try again later.', [], { retryAfter: seconds })
}

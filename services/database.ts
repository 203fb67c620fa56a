import { setTimeout as sleep } from 'node:timers/promises'
import type { Prisma, PrismaClient } from '../prisma/generated/client.ts'
import { limitStatements } from './dialect.ts'

/** What a service reads and writes through: a client, or the transaction that its caller opened. */
export type Database = Prisma.TransactionClient

const ATTEMPTS = 8
const BACKOFF_MS = 10
const MAX_BACKOFF_MS = 500
/** A burst waits for a connection instead of failing; a transaction that hangs lets go of its locks. */
const LIMITS = { maxWait: 15_000, timeout: 15_000 }

const wakers = new WeakMap<PrismaClient, () => void>()
const eventful = new WeakSet<Database>()

/** Calls `wake` after the commit of each transaction of a client in which an event was recorded. */
export function onEvents (prisma: PrismaClient, wake: () => void): void {
  wakers.set(prisma, wake)
}

/** Says that an event was recorded in a transaction. */
export function markEventful (tx: Database): void {
  eventful.add(tx)
}

/** By when something has to be done, and a signal that fires when nobody waits for it any more. */
export interface Deadline { signal: AbortSignal, remainingMs: () => number }

/**
 * Runs `work` in a transaction. When the database gives up because of others'
 * changes (serialization failure, deadlock), it runs again, a few times at most:
 * `work` must do nothing but read and write through `tx`. When nobody waits for it any
 * more, it is not committed.
 * @throws the reason of the deadline's signal
 */
export async function inTransaction<T> (prisma: PrismaClient, work: (tx: Database) => Promise<T>, deadline?: Deadline): Promise<T> {
  let transaction: Database | undefined
  const result = await persistently(async () => await prisma.$transaction(async tx => {
    // Anew: it may have waited for a connection.
    const { timeout } = limitsOf(deadline)
    if (timeout < LIMITS.timeout) await limitStatements(tx, timeout)
    const result = await work(transaction = tx)
    deadline?.signal.throwIfAborted()
    return result
  }, limitsOf(deadline)))
  if (transaction !== undefined && eventful.has(transaction)) wakers.get(prisma)?.()
  return result
}

/** What a transaction has of LIMITS when it is to end by a deadline, in milliseconds. */
function limitsOf (deadline: Deadline | undefined): typeof LIMITS {
  if (deadline === undefined) return LIMITS
  deadline.signal.throwIfAborted()
  const remaining = Math.max(1, Math.floor(deadline.remainingMs()))
  return { maxWait: Math.min(LIMITS.maxWait, remaining), timeout: Math.min(LIMITS.timeout, remaining) }
}

/** Runs a single statement, or a transaction, again when the database gave it up because of others' changes. */
export async function persistently<T> (work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === ATTEMPTS || !isConflict(error)) throw error
      await sleep(Math.random() * Math.min(BACKOFF_MS * 2 ** attempt, MAX_BACKOFF_MS))
    }
  }
}

interface DatabaseFailure { code?: string, meta?: { driverAdapterError?: { cause?: { kind?: string } } } }

/** Serialization failure or deadlock: P2034, or P2010 where raw SQL met it. */
function isConflict (error: unknown): boolean {
  const { code, meta } = error as DatabaseFailure
  return code === 'P2034' || meta?.driverAdapterError?.cause?.kind === 'TransactionWriteConflict'
}

/** A unique constraint was violated. */
export function isUniqueViolation (error: unknown): boolean {
  return (error as DatabaseFailure).code === 'P2002'
}

/**
 * A foreign key was violated: the other row is missing, or still refers to this one.
 * @public also where the sample, which asks it, is gone
 */
export function isForeignKeyViolation (error: unknown): boolean {
  return (error as DatabaseFailure).code === 'P2003'
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { Prisma, PrismaClient } from '../prisma/generated/client.ts'

/** What a service reads and writes through: a client, or the transaction that its caller opened. */
export type Database = Prisma.TransactionClient

const ATTEMPTS = 5
const BACKOFF_MS = 10
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

/**
 * Runs `work` in a transaction. When the database gives up because of others'
 * changes (serialization failure, deadlock), it runs again, a few times at most:
 * `work` must do nothing but read and write through `tx`.
 */
export async function inTransaction<T> (prisma: PrismaClient, work: (tx: Database) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    let transaction: Database | undefined
    try {
      const result = await prisma.$transaction(tx => work(transaction = tx), LIMITS)
      if (transaction !== undefined && eventful.has(transaction)) wakers.get(prisma)?.()
      return result
    } catch (error) {
      if (attempt === ATTEMPTS || !isConflict(error)) throw error
      await sleep(Math.random() * BACKOFF_MS * 2 ** attempt)
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

/** A foreign key was violated: the other row is missing, or still refers to this one. */
export function isForeignKeyViolation (error: unknown): boolean {
  return (error as DatabaseFailure).code === 'P2003'
}

import type { Prisma, PrismaClient } from '../../prisma/generated/client.ts'
import { failAgain, setAside } from './failures.ts'
import type { StoredEvent } from './log.ts'

type Transaction = Prisma.TransactionClient

/** A consumer's place in the log, locked until the transaction ends. */
export interface Claim {
  position: bigint
  /** How often the next event has failed. */
  attempts: number
  /** Whether the back-off of the next event is over. */
  isDue: boolean
  /** Whether it is this transaction's turn. Here it always is: what is stamped with a time is so by its statement, behind the lock. */
  isInOrder: boolean
}

/** How a handler that fails is tried again. */
export interface Patience { attempts: number, backoffMs: number, maxBackoffMs: number }

/** Gives a new consumer its place: the end of the log, or its beginning. One that has a place keeps it. */
export async function register (prisma: PrismaClient, name: string, from: 'beginning' | 'end'): Promise<void> {
  const isFromEnd = from === 'end'
  await prisma.$executeRaw`
    INSERT IGNORE INTO event_consumers (name, position)
    SELECT ${name}, GREATEST(horizon.position, CASE WHEN ${isFromEnd} THEN COALESCE((SELECT MAX(position) FROM events), 0) ELSE 0 END) FROM event_horizon AS horizon`
}

/** Whether there is anything for a consumer to do: without a lock, as it is asked often. */
export async function isPending (prisma: PrismaClient, name: string): Promise<boolean> {
  const [row] = await prisma.$queryRaw<{ pending: unknown }[]>`
    SELECT (retry_at IS NULL OR retry_at <= NOW(3)) AND EXISTS (SELECT 1 FROM events WHERE events.position > event_consumers.position)
      OR EXISTS (SELECT 1 FROM event_failures WHERE consumer = ${name} AND is_due) AS pending
    FROM event_consumers WHERE name = ${name}`
  return Number(row?.pending ?? 0) === 1
}

/** Locks a consumer's place. @returns undefined where another process has it, or there is none */
export async function claim (tx: Transaction, name: string): Promise<Claim | undefined> {
  const [found] = await tx.$queryRaw<{ position: bigint, attempts: number, isDue: unknown }[]>`
    SELECT position, attempts, retry_at IS NULL OR retry_at <= NOW(3) AS "isDue"
    FROM event_consumers WHERE name = ${name} FOR UPDATE SKIP LOCKED`
  return found && { ...found, isDue: Number(found.isDue) === 1, isInOrder: true }
}

/** Moves a consumer on: everything up to the position is done with. */
export async function moveTo (tx: Transaction, name: string, position: bigint): Promise<void> {
  await tx.$executeRaw`UPDATE event_consumers SET position = ${position}, attempts = 0, retry_at = NULL, moved_at = NOW(6) WHERE name = ${name}`
}

/**
 * Counts a failure of the event that is a consumer's next, or of one that was set aside. After the
 * last attempt it is set aside, and the consumer goes on behind it.
 * @returns what becomes of it, and how often it has failed
 */
export async function recordFailure (prisma: PrismaClient, name: string, { attempts, backoffMs, maxBackoffMs }: Patience, event: StoredEvent, error: unknown): Promise<{ isSetAside: boolean, attempt: number, waitMs: number }> {
  return await prisma.$transaction(async tx => {
    const [consumer] = await tx.$queryRaw<{ position: bigint, attempts: number }[]>`SELECT position, attempts FROM event_consumers WHERE name = ${name} FOR UPDATE`
    const attempt = (consumer?.attempts ?? 0) + 1
    if (consumer === undefined || consumer.position >= event.position) {
      await failAgain(tx, name, event, error)
      return { isSetAside: true, attempt: 1, waitMs: 0 }
    }
    if (attempt >= attempts) {
      await setAside(tx, name, event, { error })
      await moveTo(tx, name, event.position)
      return { isSetAside: true, attempt, waitMs: 0 }
    }
    const waitMs = Math.min(maxBackoffMs, backoffMs * 2 ** (attempt - 1) * (1 + Math.random()))
    await tx.$executeRaw`UPDATE event_consumers SET attempts = ${attempt}, retry_at = NOW(3) + INTERVAL ${Math.ceil(waitMs * 1000)} MICROSECOND WHERE name = ${name}`
    return { isSetAside: false, attempt, waitMs }
  })
}

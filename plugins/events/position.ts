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
  /** Whether this transaction began after the one that moved the position last. */
  isInOrder: boolean
}

/** How a handler that fails is tried again. */
export interface Patience { attempts: number, backoffMs: number, maxBackoffMs: number }

/** Gives a new consumer its place: the end of the log, or its beginning. One that has a place keeps it. */
export async function register (prisma: PrismaClient, name: string, from: 'beginning' | 'end'): Promise<void> {
  const isFromEnd = from === 'end'
  await prisma.$executeRaw`
    INSERT INTO event_consumers (name, position)
    SELECT ${name}, greatest(horizon.position, CASE WHEN ${isFromEnd} THEN (SELECT max(position) FROM events) END) FROM event_horizon AS horizon
    ON CONFLICT DO NOTHING`
}

/** Whether there is anything for a consumer to do: without a lock, as it is asked often. */
export async function isPending (prisma: PrismaClient, name: string): Promise<boolean> {
  const [row] = await prisma.$queryRaw<{ pending: boolean }[]>`
    SELECT (retry_at IS NULL OR retry_at <= now()) AND EXISTS (SELECT 1 FROM events WHERE events.position > event_consumers.position)
      OR EXISTS (SELECT 1 FROM event_failures WHERE consumer = ${name} AND is_due) AS pending
    FROM event_consumers WHERE name = ${name}`
  return row?.pending ?? false
}

/** Locks a consumer's place. @returns undefined where another process has it, or there is none */
export async function claim (tx: Transaction, name: string): Promise<Claim | undefined> {
  // What a handler writes is stamped with the time at which its transaction began (such as the jobs that it
  // sends, which run in that order): one that waited while others had their turn would be stamped too early.
  // Where the clock was set back by more than a minute there is no order to keep.
  const [found] = await tx.$queryRaw<Claim[]>`
    SELECT position, attempts, retry_at IS NULL OR retry_at <= now() AS "isDue",
      now() > moved_at OR moved_at > now() + interval '1 minute' AS "isInOrder"
    FROM event_consumers WHERE name = ${name} FOR UPDATE SKIP LOCKED`
  return found
}

/** Moves a consumer on: everything up to the position is done with. */
export async function moveTo (tx: Transaction, name: string, position: bigint): Promise<void> {
  await tx.$executeRaw`UPDATE event_consumers SET position = ${position}, attempts = 0, retry_at = NULL, moved_at = now() WHERE name = ${name}`
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
    await tx.$executeRaw`UPDATE event_consumers SET attempts = ${attempt}, retry_at = now() + ${waitMs}::float8 * interval '1 millisecond' WHERE name = ${name}`
    return { isSetAside: false, attempt, waitMs }
  })
}

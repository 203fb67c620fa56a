import { Prisma, type PrismaClient } from '../prisma/generated/client.ts'
import { deleteSome } from './dialect.ts'
import { trimEvents } from './events.ts'

const BATCH = 1_000
const MAIL_MS = 60 * 86_400_000

const hasExpired = () => Prisma.sql`expires_at < now()`

/** What is past its use, and how to tell now. Mails outlive their jobs, which are kept for 30 days at the most. */
const expired = [
  { table: 'refresh_tokens', where: hasExpired, name: 'refreshTokens' },
  { table: 'idempotency_records', where: hasExpired, name: 'idempotencyRecords' },
  { table: 'socket_tickets', where: hasExpired, name: 'socketTickets' },
  { table: 'login_throttles', where: hasExpired, name: 'loginThrottles' },
  { table: 'mails', where: () => Prisma.sql`created_at < ${new Date(Date.now() - MAIL_MS)}`, name: 'mails' }
] as const

/**
 * Deletes what has expired, and the events that are older than `retention` milliseconds. A batch at a
 * time: no lock is held for long, and no statement comes near its time-out. Stops between two batches
 * when the signal fires; the next run goes on.
 * @returns how many rows of each kind went
 */
export async function cleanUp (prisma: PrismaClient, { retention, signal }: { retention: number, signal: AbortSignal }): Promise<Record<string, number>> {
  const deleted: Record<string, number> = {}
  for (const { table, where, name } of expired) deleted[name] = await inBatches(signal, async () => await deleteSome(prisma, table, where(), BATCH))
  const until = new Date(Date.now() - retention)
  deleted.events = await inBatches(signal, async () => await trimEvents(prisma, until, BATCH))
  return deleted
}

/** @param deleteBatch deletes BATCH rows, or what is left, and returns how many */
async function inBatches (signal: AbortSignal, deleteBatch: () => Promise<number>): Promise<number> {
  let deleted = 0
  for (let count = BATCH; count === BATCH;) {
    signal.throwIfAborted()
    count = await deleteBatch()
    deleted += count
  }
  return deleted
}

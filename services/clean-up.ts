import { Prisma, type PrismaClient } from '../prisma/generated/client.ts'
import { trimEvents } from './events.ts'

const BATCH = 1_000
const MAIL_DAYS = 60

/** What is past its use, and how to tell. Mails outlive their jobs, which are kept for 30 days at the most. */
const expired = [
  { table: Prisma.sql`refresh_tokens`, where: Prisma.sql`expires_at < now()`, name: 'refreshTokens' },
  { table: Prisma.sql`idempotency_records`, where: Prisma.sql`expires_at < now()`, name: 'idempotencyRecords' },
  { table: Prisma.sql`socket_tickets`, where: Prisma.sql`expires_at < now()`, name: 'socketTickets' },
  { table: Prisma.sql`login_throttles`, where: Prisma.sql`expires_at < now()`, name: 'loginThrottles' },
  { table: Prisma.sql`mails`, where: Prisma.sql`created_at < now() - make_interval(days => ${MAIL_DAYS})`, name: 'mails' }
] as const

/**
 * Deletes what has expired, and the events that are older than `retention` milliseconds. A batch at a
 * time: no lock is held for long, and no statement comes near its time-out. Stops between two batches
 * when the signal fires; the next run goes on.
 * @returns how many rows of each kind went
 */
export async function cleanUp (prisma: PrismaClient, { retention, signal }: { retention: number, signal: AbortSignal }): Promise<Record<string, number>> {
  const deleted: Record<string, number> = {}
  for (const { table, where, name } of expired) {
    deleted[name] = await inBatches(signal, async () =>
      await prisma.$executeRaw`DELETE FROM ${table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM ${table} WHERE ${where} LIMIT ${BATCH} FOR UPDATE SKIP LOCKED))`)
  }
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

import type { Prisma } from '../prisma/generated/client.ts'
import { markEventful, type Database } from './database.ts'
import { trimLog } from './dialect.ts'

const MAX_LIMIT = 2 ** 31 - 1

/** The request that causes an event, for the log lines of what follows from it. Readers of the event do not get it. */
export interface Origin { requestId?: string, traceparent?: string }

/**
 * Something that happened in the domain. `type` says what, `subject` to what (the id of an order),
 * `ownerId` whom it concerns, `data` the rest, as JSON. Readers get `data` with `id`, `type` and `at` of the
 * event itself: keys of these names are left out of it.
 */
export interface DomainEvent { type: string, subject: string, ownerId?: string, data: object, origin?: Origin }

/**
 * Writes an event in the transaction that causes it: both can be seen, or neither
 * (transactional outbox). Readers get the events of all transactions in the order of their commits.
 */
export async function recordEvent (tx: Database, { data, origin, ...event }: DomainEvent): Promise<void> {
  await tx.event.create({ data: { ...event, ...origin === undefined ? {} : { origin: { ...origin } }, data: JSON.parse(JSON.stringify(data)) as Prisma.InputJsonObject }, select: { id: true } })
  markEventful(tx)
}

/**
 * Forgets the events before `until`, as far as every durable consumer has come. Readers that ask
 * for what was forgotten are told so.
 * @param limit how many at the most, the oldest first; all without it
 * @returns how many
 */
export async function trimEvents (db: Database, until: Date, limit = MAX_LIMIT): Promise<number> {
  return await trimLog(db, until, limit)
}

import { Prisma } from '../../prisma/generated/client.ts'
import { wordsOf } from '../errors/words.ts'
import type { StoredEvent } from './log.ts'

type Transaction = Prisma.TransactionClient

/**
 * Puts an event where it waits for an operator, with why it failed; or, without a failure, for
 * an earlier event of its subject.
 */
export async function setAside (tx: Transaction, consumer: string, { origin, ...event }: StoredEvent, failure?: { error: unknown }): Promise<void> {
  await tx.eventFailure.create({ data: { consumer, ...event, origin: origin === null ? Prisma.DbNull : { ...origin }, error: failure === undefined ? null : wordsOf(failure.error), isDue: failure === undefined } })
}

/** Whether a consumer has any event set aside: mostly not, and then nothing else need be asked. */
export async function hasAny (tx: Transaction, consumer: string): Promise<boolean> {
  return await tx.eventFailure.findFirst({ where: { consumer }, select: { position: true } }) !== null
}

/** The first event that was set aside and is to be handled now: nothing earlier of its subject is left. */
export async function nextDue (tx: Transaction, consumer: string): Promise<StoredEvent | undefined> {
  const [event] = await tx.$queryRaw<StoredEvent[]>`
    SELECT position, type, subject, owner_id AS "ownerId", origin, json FROM event_failures AS due
    WHERE consumer = ${consumer} AND is_due AND NOT EXISTS (
      SELECT 1 FROM event_failures AS earlier
      WHERE earlier.consumer = due.consumer AND earlier.subject = due.subject AND earlier.position < due.position
    ) ORDER BY position LIMIT 1`
  return event
}

/** Of these events' subjects those that have an event set aside. */
export async function heldSubjects (tx: Transaction, consumer: string, events: StoredEvent[]): Promise<Set<string>> {
  const found = await tx.eventFailure.findMany({ where: { consumer, subject: { in: events.map(({ subject }) => subject) } }, select: { subject: true }, distinct: ['subject'] })
  return new Set(found.map(({ subject }) => subject))
}

/** Forgets one that was handled after all. */
export async function settle (tx: Transaction, consumer: string, { position }: StoredEvent): Promise<void> {
  await tx.eventFailure.delete({ where: { consumer_position: { consumer, position } } })
}

/** Leaves one that failed once more for the next time that an operator asks. */
export async function failAgain (tx: Transaction, consumer: string, { position }: StoredEvent, error: unknown): Promise<void> {
  await tx.eventFailure.updateMany({ where: { consumer, position }, data: { error: wordsOf(error), isDue: false, failedAt: new Date() } })
}

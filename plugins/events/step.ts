import type { Prisma, PrismaClient } from '../../prisma/generated/client.ts'
import { hasAny, heldSubjects, nextDue, setAside, settle } from './failures.ts'
import { readLog, type StoredEvent } from './log.ts'
import { claim, moveTo } from './position.ts'

/** Handles one event. What it does through `tx` happens exactly once; anything else may happen again. */
export type EventHandler = (event: StoredEvent, tx: Prisma.TransactionClient) => Promise<void>

/** A step that failed while this event was handled, alone or as one of several. */
export class StepError extends Error {
  override name = 'StepError'
  readonly event: StoredEvent
  readonly isAlone: boolean

  constructor (event: StoredEvent, isAlone: boolean, cause: unknown) {
    super(`The event ${event.position} could not be handled`, { cause })
    this.event = event
    this.isAlone = isAlone
  }
}

/** For a connection, and for the whole transaction: it holds the consumer's lock. */
const LIMITS = { maxWait: 15_000, timeout: 15_000 }

/**
 * Takes the next events of a consumer, `limit` at the most, and hands them over one after the
 * other, in one transaction with the move of its position.
 * @returns how many there were; undefined when it is not this transaction's turn
 * @throws StepError while an event was handled; nothing has happened
 */
export async function takeStep (prisma: PrismaClient, name: string, handler: EventHandler, limit: number): Promise<number | undefined> {
  let current: StoredEvent | undefined
  let isAlone = true
  try {
    return await prisma.$transaction(async tx => {
      const place = await claim(tx, name)
      if (place === undefined) return 0
      if (!place.isInOrder) return undefined
      const hasFailures = await hasAny(tx, name)
      if (hasFailures) current = await nextDue(tx, name)
      if (current !== undefined) {
        await handler(current, tx)
        await settle(tx, name, current)
        return 1
      }
      const events = place.isDue ? await readLog(tx, place.position, place.attempts > 0 ? 1 : limit) : []
      const last = events.at(-1)
      if (last === undefined) return 0
      isAlone = events.length === 1
      const held = hasFailures ? await heldSubjects(tx, name, events) : new Set()
      for (current of events) {
        if (held.has(current.subject)) await setAside(tx, name, current)
        else await handler(current, tx)
      }
      await moveTo(tx, name, last.position)
      return events.length
    }, LIMITS)
  } catch (error) {
    throw current === undefined ? error : new StepError(current, isAlone, error)
  }
}

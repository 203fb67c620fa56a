import type { FastifyBaseLogger } from 'fastify'
import pLimit from 'p-limit'
import type { PrismaClient } from '../../prisma/generated/client.ts'
import { logState, readLog, type StoredEvent } from './log.ts'
import type { LogReader } from './reader.ts'
import { SubscriptionIndex, wants, type Subscription } from './subscription.ts'

/** Of one reader that catches up: small, as many may be waiting for readers that are slow. */
const PAGE = 100
/** Readers that catch up from the database at a time: a crowd that reconnects leaves connections to the requests. */
const AT_A_TIME = 3

export interface SubscribersOptions { prisma: PrismaClient, log: FastifyBaseLogger, reader: LogReader }

/** The subscriptions of the process: those that are up to date, and those that are led there. */
export class Subscribers {
  readonly #options: SubscribersOptions
  readonly #live = new SubscriptionIndex()
  readonly #database = pLimit(AT_A_TIME)

  constructor (options: SubscribersOptions) {
    this.#options = options
  }

  /** Those that are up to date. */
  get size (): number {
    return this.#live.size
  }

  /** Delivers what a subscription missed, and makes it one of those that are up to date. */
  add (subscription: Subscription): void {
    this.#catchUp(subscription).catch(error => this.#fail(subscription, error))
  }

  remove (subscription: Subscription): void {
    subscription.closed = true
    this.#live.delete(subscription)
  }

  /** Delivers an event to those that are up to date and want it. */
  deliver (event: StoredEvent): void {
    for (const subscription of this.#live.matching(event)) {
      if (wants(subscription.filter, event)) this.#deliver(subscription, event)
    }
  }

  /** The log has gone back: those that are up to date begin anew; the others find out. */
  restart (): void {
    for (const subscription of this.#live.all()) this.#restart(subscription)
  }

  #restart (subscription: Subscription): void {
    const { position, era } = this.#options.reader
    subscription.position = position
    subscription.era = era
    try {
      subscription.sink.reset(position, 'future')
    } catch (error) {
      this.#fail(subscription, error)
    }
  }

  /** Says whether the reader takes more. */
  #deliver (subscription: Subscription, event: StoredEvent): boolean {
    if (subscription.closed || event.position <= subscription.position) return true
    subscription.position = event.position
    try {
      return subscription.sink.event(event) !== false
    } catch (error) {
      this.#fail(subscription, error)
      return false
    }
  }

  #fail (subscription: Subscription, error: unknown): void {
    if (subscription.closed) return
    this.remove(subscription)
    this.#options.log.warn({ err: error }, 'a subscription to events failed')
    subscription.sink.failed(error)
  }

  /** From memory, and without waiting: no event can come in between. Gives up, false, when the reader has enough for now. */
  #goLive (subscription: Subscription): boolean {
    for (const event of this.#options.reader.recent.after(subscription.position)) {
      if (wants(subscription.filter, event) && !this.#deliver(subscription, event)) return false
    }
    if (subscription.closed) return true
    subscription.live = true
    this.#live.add(subscription)
    return true
  }

  /** No faster than the reader takes it, until it is up to date: at once, if memory has it all. */
  async #catchUp (subscription: Subscription): Promise<void> {
    const { reader } = this.#options
    let page = PAGE
    while (!subscription.closed) {
      if (subscription.era !== reader.era) this.#restart(subscription)
      // As much as the reader took last time, and some more.
      if (subscription.position < reader.recent.since) page = Math.min(PAGE, 2 * await this.#readPage(subscription, page))
      else if (this.#goLive(subscription)) return
      // Nothing that was read is held meanwhile: a reader that is slow costs no more than one that is not.
      await subscription.sink.drained?.()
    }
  }

  /** Delivers what follows from the database, `limit` events at the most. @returns as many as the reader takes at once */
  async #readPage (subscription: Subscription, limit: number): Promise<number> {
    const { prisma, reader } = this.#options
    const asked = subscription.position
    const { position: passedOn, era } = reader
    const [events, { horizon }] = await this.#database(async () =>
      [await readLog(prisma, asked, limit, subscription.filter), await logState(prisma)] as const)
    if (subscription.closed || era !== reader.era) return limit
    if (asked < horizon) {
      subscription.position = reader.position
      subscription.sink.reset(reader.position, 'expired')
      return limit
    }
    for (const [index, event] of events.entries()) if (!this.#deliver(subscription, event)) return index + 1
    // A page that is not full has all there was: what this process had passed on by then is in it, or not wanted.
    if (events.length < limit && subscription.position < passedOn) subscription.position = passedOn
    return limit
  }
}

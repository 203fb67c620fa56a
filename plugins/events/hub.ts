import type { FastifyBaseLogger } from 'fastify'
import pLimit from 'p-limit'
import type { PrismaClient } from '../../prisma/generated/client.ts'
import { listen, type Listener, type Source } from './listener.ts'
import { logState, readLog, type EventFilter, type StoredEvent } from './log.ts'
import { RecentEvents } from './recent.ts'
import { SubscriptionIndex, wants, type ResetReason, type Sink, type Subscription } from './subscription.ts'

const PAGE = 500
/** Readers that catch up from the database at a time: a crowd that reconnects leaves connections to the requests. */
const CATCH_UPS = 3
/** How often the log is read without having been told to: a notification can get lost. */
const POLL_MS = 2_000
const POSITION = /^\d{1,18}$/

export interface HubOptions { prisma: PrismaClient, source: Source, log: FastifyBaseLogger }

/**
 * One reader of the event log for the whole process: it reads each event once, when the
 * database says that there is one, and passes it to the subscriptions that want it.
 */
export class EventHub {
  readonly #options: HubOptions
  readonly #live = new SubscriptionIndex()
  readonly #database = pLimit(CATCH_UPS)
  #recent = new RecentEvents(0n)
  /** Everything up to here has been passed on. */
  #position = 0n
  #started: Promise<void> | undefined
  #listener: Listener | undefined
  #poll: NodeJS.Timeout | undefined
  #pumping: Promise<void> | undefined
  #again = false
  #closed = false

  constructor (options: HubOptions) {
    this.#options = options
  }

  /** The last event that every subscription has, or was not to have. */
  get position (): bigint {
    return this.#position
  }

  /** Subscriptions that are up to date. */
  get subscribers (): number {
    return this.#live.size
  }

  /**
   * Delivers the events after `after` (an event id; without it, those from now on) that the filter
   * lets through, once each and in order, for as long as the subscription is not closed.
   * Rejects when the database is away and nothing can be promised.
   */
  async subscribe (sink: Sink, { after, ...filter }: EventFilter & { after?: string }): Promise<{ close: () => void }> {
    await this.#start()
    const subscription: Subscription = { filter, sink, position: this.#position, closed: false }
    const problem = after === undefined ? undefined : await this.#resume(subscription, after)
    if (problem !== undefined) subscription.position = this.#position
    sink.opened?.(subscription.position)
    if (problem !== undefined) sink.reset(subscription.position, problem)
    this.#catchUp(subscription).catch(error => this.#fail(subscription, error))
    return {
      close: () => {
        subscription.closed = true
        this.#live.delete(subscription)
      }
    }
  }

  async close (): Promise<void> {
    this.#closed = true
    clearInterval(this.#poll)
    await this.#listener?.close()
    await this.#pumping
  }

  /** Listens from the first subscription on: a process without one costs the database nothing. */
  async #start (): Promise<void> {
    if (this.#closed) throw new Error('The service is closing.')
    this.#started ??= (async () => {
      const { last } = await logState(this.#options.prisma)
      this.#position = last
      this.#recent = new RecentEvents(last)
      const wake = () => void this.#pump().catch(() => {})
      this.#listener = listen(this.#options.source, wake, this.#options.log)
      this.#poll = setInterval(wake, POLL_MS).unref()
    })()
    await this.#started.catch(error => {
      this.#started = undefined
      throw error
    })
  }

  /** Sets a subscription to the position of an event id, or says why it can't be. */
  async #resume (subscription: Subscription, after: string): Promise<ResetReason | undefined> {
    if (!POSITION.test(after)) return 'malformed'
    const position = BigInt(after)
    // Another process may have seen more than this one.
    if (position > this.#position) await this.#pump()
    if (position > this.#position) return 'future'
    if (position < this.#recent.since && position < (await logState(this.#options.prisma)).horizon) return 'expired'
    subscription.position = position
    return undefined
  }

  /** Passes on what is new in the log. Calls during a call make it look once more. */
  async #pump (): Promise<void> {
    this.#again = true
    this.#pumping ??= this.#passOn().finally(() => { this.#pumping = undefined })
    await this.#pumping
  }

  async #passOn (): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false
      const events = await readLog(this.#options.prisma, this.#position, PAGE)
      for (const event of events) {
        this.#position = event.position
        this.#recent.add(event)
        for (const subscription of this.#live.matching(event)) this.#deliver(subscription, event)
      }
      if (events.length === PAGE) this.#again = true
    }
  }

  #deliver (subscription: Subscription, event: StoredEvent): void {
    if (subscription.closed || event.position <= subscription.position) return
    subscription.position = event.position
    try {
      subscription.sink.event(event)
    } catch (error) {
      this.#fail(subscription, error)
    }
  }

  #fail (subscription: Subscription, error: unknown): void {
    if (subscription.closed) return
    subscription.closed = true
    this.#live.delete(subscription)
    subscription.sink.failed(error)
  }

  /** Passes on what a subscription missed, as fast as it takes it, and then what is new. */
  async #catchUp (subscription: Subscription): Promise<void> {
    while (!subscription.closed) {
      if (subscription.position < this.#recent.since) {
        await this.#fromDatabase(subscription)
        continue
      }
      const full = this.#fromMemory(subscription)
      // Not waited for since memory was looked at: no event can have come in between.
      if (full === undefined) return void this.#goLive(subscription)
      await full
    }
  }

  #goLive (subscription: Subscription): void {
    if (!subscription.closed) this.#live.add(subscription)
  }

  /** Everything that memory has for the subscription, or as much as it takes: then what to wait for. */
  #fromMemory (subscription: Subscription): Promise<void> | undefined {
    for (const event of this.#recent.after(subscription.position)) {
      if (subscription.closed || !wants(subscription.filter, event)) continue
      this.#deliver(subscription, event)
      const full = subscription.sink.drained?.()
      if (full !== undefined) return full
    }
    return undefined
  }

  /** A page of what memory has no more. */
  async #fromDatabase (subscription: Subscription): Promise<void> {
    const { prisma } = this.#options
    const asked = subscription.position
    const passedOn = this.#position
    const [events, { horizon }] = await this.#database(async () =>
      [await readLog(prisma, asked, PAGE, subscription.filter), await logState(prisma)] as const)
    if (subscription.closed) return
    if (asked < horizon) {
      subscription.position = this.#position
      return subscription.sink.reset(this.#position, 'expired')
    }
    for (const event of events) {
      this.#deliver(subscription, event)
      await subscription.sink.drained?.()
      if (subscription.closed) return
    }
    // A page that is not full has all there was: what this process had passed on by then is in it, or not wanted.
    if (events.length < PAGE && subscription.position < passedOn) subscription.position = passedOn
  }
}

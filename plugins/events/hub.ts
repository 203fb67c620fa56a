import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import pLimit from 'p-limit'
import type { PrismaClient } from '../../prisma/generated/client.ts'
import type { Listener } from './listener.ts'
import { logState, readLog, type EventFilter, type StoredEvent } from './log.ts'
import { RecentEvents } from './recent.ts'
import { SubscriptionIndex, wants, type Following, type ResetReason, type Sink, type Subscription } from './subscription.ts'

const PAGE = 500
/** Of one reader that catches up: small, as many may be waiting for readers that are slow. */
const CATCH_UP_PAGE = 100
/** What is passed on, in characters, before sockets get to send it. */
const TURN_CHARACTERS = 32 * 1024
/** Readers that catch up from the database at a time: a crowd that reconnects leaves connections to the requests. */
const CATCH_UPS = 3
/** How often the log is read without having been told to: a notification can get lost. */
const POLL_MS = 2_000
const POSITION = /^\d{1,18}$/

export interface HubOptions {
  prisma: PrismaClient
  log: FastifyBaseLogger
  /** Begins to call back when there may be new events. */
  listen: (onWake: () => void) => Listener
}

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
  /** The event there, if it was passed on and not only found. */
  #last: StoredEvent | undefined
  /** How often the log has gone back. */
  #era = 0
  #started: Promise<void> | undefined
  #listener: Listener | undefined
  #poll: NodeJS.Timeout | undefined
  /** The reading of the log that is under way, and the one that follows it. */
  #reading: Promise<void> | undefined
  #next: Promise<void> | undefined
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
  async subscribe (sink: Sink, { after, ...filter }: EventFilter & { after?: string }): Promise<Following> {
    await this.#start()
    // Readers that come at once share a reading. It also finds out whether the database is there.
    await this.#pump()
    const subscription: Subscription = { filter, sink, position: this.#position, era: this.#era, live: false, closed: false }
    const problem = after === undefined ? undefined : await this.#resume(subscription, after)
    if (problem !== undefined) subscription.position = this.#position
    sink.opened?.(subscription.position)
    if (problem !== undefined) sink.reset(subscription.position, problem)
    this.#catchUp(subscription).catch(error => this.#fail(subscription, error))
    const positionOf = () => subscription.live && this.#position > subscription.position ? this.#position : subscription.position
    return {
      get position () {
        return positionOf()
      },
      close: () => {
        subscription.closed = true
        this.#live.delete(subscription)
      }
    }
  }

  /** Looks for new events now, if anybody follows them. */
  wake (): void {
    if (this.#poll !== undefined && !this.#closed) this.#pump().catch(() => {})
  }

  async close (): Promise<void> {
    this.#closed = true
    clearInterval(this.#poll)
    await this.#listener?.close()
    await Promise.allSettled([this.#reading, this.#next])
  }

  /** Listens from the first subscription on: a process without one costs the database nothing. */
  async #start (): Promise<void> {
    if (this.#closed) throw Object.assign(new Error('The service is closing.'), { statusCode: 503 })
    this.#started ??= (async () => {
      const { last } = await logState(this.#options.prisma)
      this.#position = last
      this.#recent = new RecentEvents(last)
      this.#listener = this.#options.listen(() => this.wake())
      this.#poll = setInterval(() => this.wake(), POLL_MS).unref()
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
    if (position > this.#position) return 'future'
    if (position < this.#recent.since && position < (await logState(this.#options.prisma)).horizon) return 'expired'
    subscription.position = position
    return undefined
  }

  /** Passes on what is in the log now. Calls during a reading share the one that follows it. */
  async #pump (): Promise<void> {
    this.#next ??= (async () => {
      await this.#reading?.catch(() => {})
      this.#next = undefined
      await (this.#reading = this.#passOn())
    })()
    await this.#next
  }

  async #passOn (): Promise<void> {
    for (let count = PAGE; count === PAGE && !this.#closed;) {
      const events = await this.#readOn()
      count = events.length
      let passed = 0
      for (const event of events) {
        passed += event.json.length
        if (passed > TURN_CHARACTERS && passed > event.json.length) {
          passed = event.json.length
          await turn()
        }
        this.#position = event.position
        this.#last = event
        this.#recent.add(event)
        for (const subscription of this.#live.matching(event)) {
          if (wants(subscription.filter, event)) this.#deliver(subscription, event)
        }
      }
    }
  }

  /**
   * Reads what follows, and with it the last event: where that is not there any more, and was not trimmed,
   * the database has gone back (to a standby that lagged, to a backup).
   */
  async #readOn (): Promise<StoredEvent[]> {
    const { prisma } = this.#options
    const [first, ...rest] = await readLog(prisma, this.#position - 1n, PAGE + 1)
    if (first?.position === this.#position && (this.#last === undefined || this.#last.json === first.json)) return rest
    const { horizon, last } = await logState(prisma)
    if (first?.position !== this.#position && this.#position <= horizon) return first === undefined ? [] : [first, ...rest]
    this.#goBack(last)
    return []
  }

  /** Begins anew at the end of the log: what was passed on may never have been, and its positions be given out again. */
  #goBack (position: bigint): void {
    this.#options.log.warn({ from: String(this.#position), to: String(position) }, 'the log of events has gone back: its readers are told to read anew')
    this.#position = position
    this.#last = undefined
    this.#recent = new RecentEvents(position)
    this.#era++
    for (const subscription of this.#live.all()) this.#restart(subscription)
  }

  #restart (subscription: Subscription): void {
    subscription.position = this.#position
    subscription.era = this.#era
    try {
      subscription.sink.reset(this.#position, 'future')
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
    subscription.closed = true
    this.#live.delete(subscription)
    this.#options.log.warn({ err: error }, 'a subscription to events failed')
    subscription.sink.failed(error)
  }

  /** From memory, and without waiting: no event can come in between. Gives up, false, when the reader has enough for now. */
  #goLive (subscription: Subscription): boolean {
    for (const event of this.#recent.after(subscription.position)) {
      if (wants(subscription.filter, event) && !this.#deliver(subscription, event)) return false
    }
    if (subscription.closed) return true
    subscription.live = true
    this.#live.add(subscription)
    return true
  }

  /** Delivers what a subscription missed, no faster than its reader takes it, until it is up to date: at once, if memory has it all. */
  async #catchUp (subscription: Subscription): Promise<void> {
    let page = CATCH_UP_PAGE
    while (!subscription.closed) {
      if (subscription.era !== this.#era) this.#restart(subscription)
      // As much as the reader took last time, and some more.
      if (subscription.position < this.#recent.since) page = Math.min(CATCH_UP_PAGE, 2 * await this.#readPage(subscription, page))
      else if (this.#goLive(subscription)) return
      // Nothing that was read is held meanwhile: a reader that is slow costs no more than one that is not.
      await subscription.sink.drained?.()
    }
  }

  /** Delivers what follows from the database, `limit` events at the most. @returns as many as the reader takes at once */
  async #readPage (subscription: Subscription, limit: number): Promise<number> {
    const { prisma } = this.#options
    const asked = subscription.position
    const passedOn = this.#position
    const era = this.#era
    const [events, { horizon }] = await this.#database(async () =>
      [await readLog(prisma, asked, limit, subscription.filter), await logState(prisma)] as const)
    if (subscription.closed || era !== this.#era) return limit
    if (asked < horizon) {
      subscription.position = this.#position
      subscription.sink.reset(this.#position, 'expired')
      return limit
    }
    for (const [index, event] of events.entries()) if (!this.#deliver(subscription, event)) return index + 1
    // A page that is not full has all there was: what this process had passed on by then is in it, or not wanted.
    if (events.length < limit && subscription.position < passedOn) subscription.position = passedOn
    return limit
  }
}

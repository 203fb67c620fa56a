import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { PrismaClient } from '../../prisma/generated/client.ts'
import type { Listener } from './listener.ts'
import { logState, type EventFilter } from './log.ts'
import { LogReader } from './reader.ts'
import { Subscribers } from './subscribers.ts'
import type { Following, ResetReason, Sink, Subscription } from './subscription.ts'

const PAGE = 500
/** What is passed on, in characters, before sockets get to send it. */
const TURN_CHARACTERS = 32 * 1024
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
  readonly #reader: LogReader
  readonly #subscribers: Subscribers
  #started: Promise<void> | undefined
  #listener: Listener | undefined
  #poll: NodeJS.Timeout | undefined
  /** The reading of the log that is under way, and the one that follows it. */
  #reading: Promise<void> | undefined
  #next: Promise<void> | undefined
  #closed = false

  constructor (options: HubOptions) {
    this.#options = options
    this.#reader = new LogReader(options)
    this.#subscribers = new Subscribers({ ...options, reader: this.#reader })
  }

  /** The last event that every subscription has, or was not to have. */
  get position (): bigint {
    return this.#reader.position
  }

  /** Subscriptions that are up to date. */
  get subscribers (): number {
    return this.#subscribers.size
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
    const reader = this.#reader
    const subscription: Subscription = { filter, sink, position: reader.position, era: reader.era, live: false, closed: false }
    const problem = after === undefined ? undefined : await this.#resume(subscription, after)
    if (problem !== undefined) subscription.position = reader.position
    sink.opened?.(subscription.position)
    if (problem !== undefined) sink.reset(subscription.position, problem)
    this.#subscribers.add(subscription)
    return {
      get position () {
        return subscription.live && reader.position > subscription.position ? reader.position : subscription.position
      },
      close: () => this.#subscribers.remove(subscription)
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
      await this.#reader.start()
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
    if (position > this.#reader.position) return 'future'
    if (position < this.#reader.recent.since && position < (await logState(this.#options.prisma)).horizon) return 'expired'
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
      const { era } = this.#reader
      const events = await this.#reader.readOn(PAGE)
      if (this.#reader.era !== era) this.#subscribers.restart()
      count = events.length
      let passed = 0
      for (const event of events) {
        passed += event.json.length
        if (passed > TURN_CHARACTERS && passed > event.json.length) {
          passed = event.json.length
          await turn()
        }
        this.#reader.advance(event)
        this.#subscribers.deliver(event)
      }
    }
  }
}

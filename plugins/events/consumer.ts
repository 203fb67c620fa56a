import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { PrismaClient } from '../../prisma/generated/client.ts'
import { bindingsOf } from '../../server/trace.ts'
import type { EventHub } from './hub.ts'
import type { StoredEvent } from './log.ts'
import { isOutage, StuckEvent } from './outage.ts'
import { isPending, recordFailure, register, type Patience } from './position.ts'
import { StepError, takeStep, type EventHandler } from './step.ts'

/** A durable consumer of the log. */
export interface ConsumerDefinition {
  /** Its place in the log is kept under this name. */
  name: string
  handler: EventHandler
  /** Where a new one begins; `end` without it. */
  from?: 'beginning' | 'end'
  /** Events of one transaction at the most; 10 without it. More is faster, and a failure repeats them all. */
  batch?: number
  /** How often an event is tried before it is set aside; 6 without it. */
  attempts?: number
  /** Before the first retry, in milliseconds; it doubles, with jitter, up to a minute. 1000 without it. */
  backoffMs?: number
  /** After so long of surroundings that keep an event from being handled it is logged as an error, in milliseconds, and again each time; 10 minutes without it. */
  alarmMs?: number
}

export interface ConsumerOptions {
  prisma: PrismaClient
  hub: EventHub
  log: FastifyBaseLogger
}

/** How often it looks without having been told to: a process that had its turn may have died. */
const POLL_MS = 2_000
const MAX_BACKOFF_MS = 60_000
/** Until a transaction that begins now is later than the last one. */
const NEXT_TURN_MS = 5

/** Runs a durable consumer: one process of the deployment at a time handles its events, the others stand by. */
export class EventConsumer {
  readonly #definition: Required<ConsumerDefinition>
  readonly #options: ConsumerOptions
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #wake: () => void = () => {}
  #isWoken = false
  #isRegistered = false
  /** The last step found something: the next need not ask before it looks. */
  #isBusy = false
  #subscription: { close: () => void } | undefined
  /** So many steps are of one event each, to find the one that fails. */
  #careful = 0
  #outages = 0
  readonly #stuck: StuckEvent

  constructor ({ from = 'end', batch = 10, attempts = 6, backoffMs = 1_000, alarmMs = 600_000, ...definition }: ConsumerDefinition, options: ConsumerOptions) {
    this.#definition = { from, batch, attempts, backoffMs, alarmMs, ...definition }
    this.#stuck = new StuckEvent(alarmMs)
    this.#options = { ...options, log: options.log.child({ consumer: definition.name }) }
  }

  /** Takes its place in the log, from which on no event is missed. */
  async register (): Promise<void> {
    await register(this.#options.prisma, this.#definition.name, this.#definition.from)
    this.#isRegistered = true
  }

  /** Begins to handle events. */
  start (): void {
    this.#running ??= this.#run()
  }

  /** Takes no more events. Resolves when the current one is done with. */
  async stop (): Promise<void> {
    this.#stop.abort()
    this.#subscription?.close()
    await this.#running
  }

  async #run (): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const waitMs = await this.#turn().catch(async (error: unknown) => await this.#failed(error).catch(error => this.#outage(error)))
      await this.#pause(waitMs)
    }
  }

  /** One step, if there is anything to do. @returns how long to wait before the next */
  async #turn (): Promise<number> {
    const { prisma, hub } = this.#options
    const { name, handler, batch } = this.#definition
    if (!this.#isRegistered) await this.register()
    const wake = () => this.#rouse()
    this.#subscription ??= await hub.subscribe({ event: wake, reset: wake, failed: () => {} }, {})
    this.#isWoken = false
    if (!this.#isBusy && !await isPending(prisma, name)) return POLL_MS
    this.#isBusy = false
    const count = await takeStep(prisma, name, handler, this.#careful > 0 ? 1 : batch)
    if (this.#outages > 0) this.#options.log.info('the events are handled again')
    this.#outages = 0
    if (count !== 0) this.#stuck.clear()
    this.#careful = Math.max(0, this.#careful - 1)
    if (count === undefined) return NEXT_TURN_MS
    this.#isBusy = count > 0
    return count === 0 ? POLL_MS : 0
  }

  async #failed (error: unknown): Promise<number> {
    const { prisma, log } = this.#options
    const { name, batch, attempts, backoffMs } = this.#definition
    if (!(error instanceof StepError)) return this.#outage(error)
    // At shutdown what a handler needs goes away; the next process does it.
    if (this.#stop.signal.aborted) return 0
    if (isOutage(error.cause)) return this.#outage(error.cause, error.event)
    if (!error.isAlone) {
      this.#careful = batch
      return 0
    }
    const { event } = error
    const patience: Patience = { attempts, backoffMs, maxBackoffMs: MAX_BACKOFF_MS }
    const { isSetAside, attempt, waitMs } = await recordFailure(prisma, name, patience, event, error.cause)
    const about = { err: error.cause, ...describe(event), attempt }
    if (isSetAside) log.error(about, 'an event could not be handled and was set aside: see npm run kit -- events list')
    else log.warn(about, 'an event could not be handled, and will be tried again')
    return Math.min(waitMs, POLL_MS)
  }

  /** Not the event's fault: it is tried until it works, and does not count. */
  #outage (error: unknown, event?: StoredEvent): number {
    const { log } = this.#options
    if (this.#outages++ === 0) log.warn({ err: error }, 'the events can\'t be handled now, and will be tried again')
    if (event !== undefined && this.#stuck.holds(event)) log.error({ err: error, ...describe(event) }, 'an event has not been handled for long, and holds up those behind it: what its handler needs is away')
    return Math.min(POLL_MS, this.#definition.backoffMs * 2 ** Math.min(this.#outages, 10))
  }

  #rouse (): void {
    this.#isWoken = true
    this.#wake()
  }

  async #pause (ms: number): Promise<void> {
    if (ms === 0 || this.#isWoken || this.#stop.signal.aborted) return
    const over = new AbortController()
    this.#wake = () => over.abort()
    await sleep(ms, undefined, { signal: AbortSignal.any([over.signal, this.#stop.signal]) }).catch(() => {})
  }
}

/** An event in a line of the log, with the request that caused it. */
function describe ({ position, type, subject, origin }: StoredEvent): object {
  return { event: String(position), type, subject, ...bindingsOf(origin ?? {}) }
}

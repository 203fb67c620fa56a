import { randomUUID } from 'node:crypto'
import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, ExponentialBackoff, handleAll } from 'cockatiel'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'
import { complaint, connectRedis } from '../../server/redis.ts'
import { HOLD, LOOK, STORE } from './scripts.ts'

/** After so many that got no answer, none is asked until one that probes it gets one. */
const FAULTS = 3
const PROBE_AFTER = { initialDelay: 500, maxDelay: 10_000 }
/** How long a lock outlives a process that was killed. */
export const LOCK_MS = 3_000
/** Of the versions of its tags before an entry: a UUID and a comma for each. */
const VERSION_BYTES = 37
const AWAY = 'Redis is away: nothing is cached, values are loaded a few at a time'

/** The keys of an entry, and what it is kept for. */
export interface Entry { key: string, lock: string, tags: readonly string[], staleFor: number, life: number }
export type State = 'hit' | 'stale' | 'refresh' | 'wait' | 'load'
export interface Seen { state: State, json: string, versions: string, token: string, isBad: boolean }
export type Stored = 'stored' | 'lost' | 'outdated'

/** Why a command got no result: Redis is known to be away, did not answer, or answered with an error. */
export type Fault = 'away' | 'unanswered' | 'error'

interface Scripts {
  cacheLook: (keys: number, ...rest: (string | number)[]) => Promise<[State, string, string, number]>
  cacheStore: (keys: number, ...rest: (string | number)[]) => Promise<Stored>
  cacheHold: (keys: number, ...rest: (string | number)[]) => Promise<number>
}

/** The entries in Redis. What it can't do now is undefined: nothing here throws. */
export class Store {
  readonly #redis: Redis
  readonly #scripts: Scripts
  readonly #circuit = circuitBreaker(handleAll, { breaker: new ConsecutiveBreaker(FAULTS), halfOpenAfter: new ExponentialBackoff(PROBE_AFTER) })
  readonly #complaint: ReturnType<typeof complaint>
  readonly #onFault: (fault: Fault) => void
  readonly #maxBytes: number

  /**
   * @param timeoutMs for which a Redis that hangs is waited for
   * @param maxBytes of a value; what is larger is no entry of ours, and not read
   */
  constructor (url: string, { timeoutMs, maxBytes }: { timeoutMs: number, maxBytes: number }, log: FastifyBaseLogger, onFault: (fault: Fault) => void) {
    this.#maxBytes = maxBytes
    const redis = this.#redis = connectRedis(url, log, AWAY, {
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      commandTimeout: timeoutMs,
      // The server has become a replica: its address leads to another by now.
      reconnectOnError: error => error.message.startsWith('READONLY')
    })
    for (const [name, lua] of Object.entries({ cacheLook: LOOK, cacheStore: STORE, cacheHold: HOLD })) redis.defineCommand(name, { lua })
    this.#scripts = redis as unknown as Scripts
    this.#complaint = complaint(redis, log, 'Redis does not do what the cache asks of it: values are loaded a few at a time')
    this.#onFault = onFault
    // The connection may lead nowhere: the system would notice in a quarter of an hour.
    this.#circuit.onBreak(() => { if (redis.status === 'ready') redis.disconnect(true) })
  }

  get isReady (): boolean {
    return this.#redis.status === 'ready' && this.#circuit.state === CircuitState.Closed
  }

  /** Calls back when there is a connection (again). */
  onReady (listener: () => void): void {
    this.#redis.on('ready', listener)
  }

  async look ({ key, lock, tags, staleFor, life }: Entry): Promise<Seen | undefined> {
    const token = randomUUID()
    const answer = await this.#run(() => this.#scripts.cacheLook(2 + tags.length, key, lock, ...tags, staleFor, token, LOCK_MS, randomUUID(), life + LOCK_MS, this.#maxBytes + VERSION_BYTES * tags.length + 1))
    if (answer === undefined) return undefined
    const [state, json, versions, bad] = answer
    return { state, json, versions, token, isBad: bad === 1 }
  }

  /** @param life of the entry in milliseconds; 0 keeps nothing */
  async store ({ key, lock, tags }: Entry, { token, versions }: Seen, json: string, life: number): Promise<Stored | undefined> {
    return await this.#run(() => this.#scripts.cacheStore(2 + tags.length, key, lock, ...tags, token, versions, `${versions}\n${json}`, life))
  }

  /** Keeps a lock for so many milliseconds more; 0 ends it. */
  async hold ({ lock }: Entry, { token }: Seen, ms = LOCK_MS): Promise<void> {
    await this.#run(() => this.#scripts.cacheHold(1, lock, token, ms))
  }

  /** Whether the keys are gone. */
  async delete (...keys: string[]): Promise<boolean> {
    return await this.#run(() => this.#redis.unlink(...keys)) !== undefined
  }

  close (): void {
    this.#redis.disconnect()
  }

  async #run<T> (command: () => Promise<T>): Promise<T | undefined> {
    // While one command probes it, the others are not to wait for that.
    if (this.#redis.status !== 'ready' || this.#circuit.state === CircuitState.HalfOpen) return this.#failed('away')
    try {
      const { result, refusal } = await this.#circuit.execute(async () => {
        try {
          return { result: await command() }
        } catch (error) {
          // An answer that says no is an answer: Redis is there.
          if (!isAnswer(error)) throw error
          return { refusal: error }
        }
      })
      if (refusal === undefined) {
        this.#complaint.worked()
        return result
      }
      this.#complaint.failed(refusal)
      return this.#failed('error')
    } catch (error) {
      if (error instanceof BrokenCircuitError) return this.#failed('away')
      this.#complaint.failed(error)
      return this.#failed('unanswered')
    }
  }

  #failed (fault: Fault): undefined {
    this.#onFault(fault)
  }
}

function isAnswer (error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}

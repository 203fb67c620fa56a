import { setTimeout as sleep } from 'node:timers/promises'
import type mariadb from 'mariadb'
import { Pool as Tarn, TimeoutError } from 'tarn'
import { NO_LIMITS, openSession, sessionOf, type Limits } from './session.ts'

export interface PoolOptions {
  max?: number
  limits?: Limits
  /** How long to wait for a free connection, in milliseconds. */
  acquireTimeoutMs?: number
  /** An answer may take so long before the connection is taken for dead, in milliseconds; 0: for ever. */
  answerTimeoutMs?: number
}

const ACQUIRE_MS = 15_000
const IDLE_MS = 30_000
/** One that has been idle for longer is asked whether it is alive before it is used. */
const ASK_AFTER_MS = 500
const PING_MS = 1_000
const REAP_MS = 1_000
const RETRY_MS = 10

type Arguments = [sql: string | mariadb.QueryOptions, values?: unknown]

/** The connection was given up, or none was to be had. It looks like one of the driver's, so that Prisma's adapter passes it on as one. */
class ConnectionError extends Error {
  override name = 'ConnectionError'
  readonly errno = 45028
  readonly sqlState = '08S01'
  readonly sqlMessage: string

  constructor (message: string, options?: ErrorOptions) {
    super(message, options)
    this.sqlMessage = message
  }
}

/** What the server says, and the driver, has a number. What the operating system says (EPIPE, ECONNRESET, …) becomes a ConnectionError. */
async function known<T> (answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof Error) || ((error as mariadb.SqlError).errno ?? 1) > 0) throw error
    throw new ConnectionError(`There is no connection to the database: ${error.message}`, { cause: error })
  }
}

/**
 * Connections for Prisma's adapter, which takes it for a pool of the driver's. The driver's own has whoever asks wait for
 * its time-out when the server is away; here the first refusal is the answer.
 */
export class Pool {
  readonly #tarn: Tarn<mariadb.Connection>
  readonly #answerMs: number
  readonly #lastUse = new WeakMap<mariadb.Connection, number>()

  constructor (url: string, { max = 10, limits = NO_LIMITS, acquireTimeoutMs = ACQUIRE_MS, answerTimeoutMs = 0 }: PoolOptions = {}) {
    const session = sessionOf(url, limits)
    this.#answerMs = answerTimeoutMs
    this.#tarn = new Tarn({
      min: 0,
      max,
      acquireTimeoutMillis: acquireTimeoutMs,
      createTimeoutMillis: acquireTimeoutMs,
      createRetryIntervalMillis: RETRY_MS,
      idleTimeoutMillis: IDLE_MS,
      reapIntervalMillis: REAP_MS,
      propagateCreateError: true,
      create: async () => await known(openSession(session)),
      // One that dies while nobody uses it is found out by `isValid`. Waited for, though its type does not say so.
      validate: (connection => connection.isValid() && this.#isAlive(connection)) as (connection: mariadb.Connection) => boolean,
      destroy: async connection => {
        // One that breaks meanwhile has ended, too.
        if (connection.isValid()) await connection.end().catch(() => connection.destroy())
      }
    })
  }

  /** Connections, those that do nothing, and who waits for one. */
  get totalCount (): number {
    return this.#tarn.numUsed() + this.#tarn.numFree()
  }

  get idleCount (): number {
    return this.#tarn.numFree()
  }

  get waitingCount (): number {
    return Math.max(0, this.#tarn.numPendingAcquires() - this.#tarn.numPendingCreates())
  }

  on (event: 'release', listener: () => void): void {
    this.#tarn.on(event, listener)
  }

  off (event: 'release', listener: () => void): void {
    this.#tarn.removeListener(event, listener)
  }

  async query<T = unknown> (...words: Arguments): Promise<T> {
    return await this.#with(async connection => await connection.query<T>(...words))
  }

  async execute<T = unknown> (...words: Arguments): Promise<T> {
    return await this.#with(async connection => await connection.execute<T>(...words))
  }

  /** A connection for a transaction; `release` gives it back. */
  async getConnection () {
    const connection = await this.#acquire()
    let isReleased = false
    const guard = async <T>(ask: () => Promise<T>): Promise<T> => {
      if (isReleased) throw new ConnectionError('The transaction has ended.')
      return await this.#answered(connection, ask())
    }
    return {
      query: async (...words: Arguments) => await guard(() => connection.query(...words)),
      execute: async (...words: Arguments) => await guard(() => connection.execute(...words)),
      on: (event: 'error', listener: (error: mariadb.SqlError) => void) => connection.on(event, listener),
      off: (event: 'error', listener: (error: mariadb.SqlError) => void) => connection.off(event, listener),
      release: async () => {
        if (isReleased) return
        isReleased = true
        this.#release(connection)
      }
    }
  }

  async end (): Promise<void> {
    await this.#tarn.destroy()
  }

  async #with<T> (work: (connection: mariadb.Connection) => Promise<T>): Promise<T> {
    const connection = await this.#acquire()
    try {
      return await this.#answered(connection, work(connection))
    } finally {
      this.#release(connection)
    }
  }

  async #acquire (): Promise<mariadb.Connection> {
    try {
      return await this.#tarn.acquire().promise
    } catch (error) {
      throw error instanceof TimeoutError ? new ConnectionError('There was no free connection in time.', { cause: error }) : error
    }
  }

  #release (connection: mariadb.Connection): void {
    this.#lastUse.set(connection, performance.now())
    this.#tarn.release(connection)
  }

  /** What a connection answers. One that does not is closed: what it might still say is nobody's. */
  async #answered<T> (connection: mariadb.Connection, said: Promise<T>): Promise<T> {
    const answer = known(said)
    if (this.#answerMs === 0) return await answer
    const over = new AbortController()
    const late = sleep(this.#answerMs, undefined, { signal: over.signal, ref: false }).then(() => {
      connection.destroy()
      throw new ConnectionError('The database did not answer: the connection is given up.')
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      over.abort()
      for (const promise of [answer, late]) promise.catch(() => {})
    }
  }

  async #isAlive (connection: mariadb.Connection): Promise<boolean> {
    const used = this.#lastUse.get(connection)
    if (used === undefined || performance.now() - used < ASK_AFTER_MS) return true
    const over = new AbortController()
    const late = sleep(PING_MS, false, { signal: over.signal, ref: false }).catch(() => false)
    const isAlive = await Promise.race([connection.ping().then(() => true, () => false), late])
    over.abort()
    if (!isAlive) connection.destroy()
    return isAlive
  }
}

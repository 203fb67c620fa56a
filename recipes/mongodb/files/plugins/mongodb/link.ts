import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { MongoClient, type Db, type MongoClientOptions, type TopologyDescription } from 'mongodb'
import { within } from '../../server/within.ts'
import { MongoAwayError } from './errors.ts'

export interface LinkOptions {
  url: string
  timeoutMs: number
  poolMax: number
  /** Has the driver tell of each command. */
  monitorCommands: boolean
  log: FastifyBaseLogger
}

const CONNECT_MS = 2_000
/** How often a server is asked whether it is there: one that comes back is noticed by then. */
const HEARTBEAT_MS = 1_000
const MAX_PAUSE_MS = 2_000
const CLOSE_MS = 2_000
/** Servers that take what is written. */
const WRITABLE = new Set(['Standalone', 'RSPrimary', 'Mongos', 'LoadBalancer'])
/** Types of servers that have transactions and change streams. */
const REPLICATED = new Set(['RSPrimary', 'RSSecondary', 'Mongos', 'LoadBalancer'])

/** The client of MongoDB, and what its heartbeats say of the servers. It connects by itself, again and again; nobody need wait for it to start. */
export class MongoLink {
  readonly client: MongoClient
  readonly #log: FastifyBaseLogger
  readonly #closing = new AbortController()
  /** Addresses whose last heartbeat failed. */
  readonly #silent = new Set<string>()
  #servers: TopologyDescription['servers'] = new Map()
  #reason = 'it has not answered yet'
  #hasReplicas = false
  #wasAway = false
  #isConnected = false
  readonly #firstWord = Promise.withResolvers<void>()
  #running: Promise<void> | undefined

  /** @throws Error when the URL can't be used; it has no secrets */
  constructor (options: LinkOptions) {
    this.#log = options.log
    this.client = newClient(options)
    this.client.on('topologyDescriptionChanged', ({ newDescription: { servers } }) => {
      if (servers.size > 0) this.#servers = servers
      // Also while its members are silent.
      this.#hasReplicas ||= [...servers.values()].some(({ type }) => REPLICATED.has(type))
    })
    // `connectionId` of a heartbeat is the address.
    this.client.on('serverHeartbeatSucceeded', ({ connectionId }) => this.#heard(connectionId))
    this.client.on('serverHeartbeatFailed', ({ connectionId, failure }) => this.#missed(connectionId, failure))
    this.client.on('serverClosed', ({ address }) => { if (this.#isConnected) this.#silent.delete(address) })
  }

  /** The database that the URL names. */
  get db (): Db {
    return this.client.db()
  }

  /** Begins to connect. Resolves when it is known whether a server is there; what comes before would wait for one. */
  async start (): Promise<void> {
    this.#running ??= this.#run()
    await within(this.#firstWord.promise, CONNECT_MS, () => {})
  }

  /** Why no server can be written to now; undefined when one can. */
  get trouble (): string | undefined {
    if (this.#isAway) return this.#reason
    const servers = [...this.#servers.values()]
    return servers.some(({ type }) => WRITABLE.has(type)) ? undefined : servers.some(({ type }) => REPLICATED.has(type)) ? 'there is no primary' : this.#reason
  }

  /** @throws MongoAwayError while no server answers: to wait for one would only hold requests up */
  assertThere (): void {
    if (this.#isAway || this.#closing.signal.aborted) throw new MongoAwayError(`MongoDB is away: ${this.#reason}`)
  }

  /** Whether the server has transactions, once it has answered. @throws the driver's error when it does not */
  async isReplicated (): Promise<boolean> {
    this.assertThere()
    if (!this.#isConnected) await this.client.connect()
    return this.#hasReplicas
  }

  async close (): Promise<void> {
    this.#closing.abort()
    await within(this.client.close(), CLOSE_MS, () => this.#log.warn('the connections to MongoDB did not close: they are left'))
    await this.#running
  }

  /** All servers that are known are silent. */
  get #isAway (): boolean {
    return this.#silent.size > 0 && [...this.#servers.keys()].every(address => this.#silent.has(address))
  }

  /** The driver gives up a first connection that does not come about; later it connects again by itself. */
  async #run (): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.client.connect()
        this.#isConnected = true
        return
      } catch (error) {
        if (signal.aborted) return
        this.#reason = (error as Error).message
        if (failures === 0 && !this.#wasAway) this.#log.warn({ err: error }, 'MongoDB is away')
        this.#wasAway = true
      }
      await sleep(Math.min(MAX_PAUSE_MS, 100 * 2 ** Math.min(failures, 10)), undefined, { signal }).catch(() => {})
    }
  }

  #heard (address: string): void {
    this.#firstWord.resolve()
    this.#silent.delete(address)
    if (this.#wasAway) this.#log.info('MongoDB is back')
    this.#wasAway = false
  }

  #missed (address: string, failure: Error): void {
    this.#firstWord.resolve()
    this.#silent.add(address)
    this.#reason = failure.message
    if (this.#closing.signal.aborted || this.#wasAway || !this.#isAway) return
    this.#log.warn({ err: failure }, 'MongoDB is away')
    this.#wasAway = true
  }
}

function newClient ({ url, timeoutMs, poolMax, monitorCommands }: LinkOptions): MongoClient {
  const options: MongoClientOptions = {
    appName: 'keel',
    maxPoolSize: poolMax,
    connectTimeoutMS: Math.min(CONNECT_MS, timeoutMs),
    // A primary is chosen within seconds; where no server answers nobody waits (`assertThere`).
    serverSelectionTimeoutMS: timeoutMs,
    waitQueueTimeoutMS: timeoutMs,
    // The server has ended an operation before (maxTimeMS): what is still silent is dead.
    socketTimeoutMS: timeoutMs + CONNECT_MS,
    heartbeatFrequencyMS: HEARTBEAT_MS,
    ignoreUndefined: true,
    monitorCommands
  }
  try {
    return new MongoClient(url, options)
  } catch (error) {
    // The driver's words may have the URL in them.
    throw new Error(`MONGODB_URL can't be used: ${(error as Error).name}`)
  }
}

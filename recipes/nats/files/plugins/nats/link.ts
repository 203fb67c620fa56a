import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type ConnectionOptions, type NatsConnection } from '@nats-io/transport-node'
import type { FastifyBaseLogger } from 'fastify'
import { within } from '../../server/within.ts'

export interface LinkOptions {
  url: string
  /** What the server calls this client. */
  name: string
  log: FastifyBaseLogger
  /** Is told when the connection is there or gone. */
  onChange: (isConnected: boolean) => void
}

const CONNECT_MS = 5_000
const MIN_PAUSE_MS = 100
const MAX_PAUSE_MS = 5_000
const CLOSE_MS = 2_000

/** The one connection with NATS. It is there again some time after whatever took it away; nobody need wait for it to start. */
export class NatsLink {
  readonly #options: LinkOptions
  readonly #closing = new AbortController()
  #connection: NatsConnection | undefined
  #isConnected = false
  #arrival = Promise.withResolvers<void>()
  #running: Promise<void> | undefined

  /** @throws Error when the URL can't be used */
  constructor (options: LinkOptions) {
    this.#options = options
    optionsOf(options)
  }

  /** Begins to connect, again and again. */
  start (): void {
    this.#running ??= this.#run()
  }

  /** The connection; undefined while it is away. */
  get connection (): NatsConnection | undefined {
    return this.#isConnected ? this.#connection : undefined
  }

  /** Waits for the connection. @throws the reason of the signal */
  async connected (signal: AbortSignal): Promise<NatsConnection> {
    for (;;) {
      signal.throwIfAborted()
      if (this.connection !== undefined) return this.connection
      const { promise: aborted, reject } = Promise.withResolvers<never>()
      const abort = () => reject(signal.reason)
      signal.addEventListener('abort', abort)
      await Promise.race([this.#arrival.promise, aborted]).finally(() => signal.removeEventListener('abort', abort))
    }
  }

  /** Sends what is to be sent, and leaves. */
  async close (): Promise<void> {
    this.#closing.abort()
    const connection = this.#connection
    if (connection !== undefined && !connection.isClosed()) {
      // A server that is away is not waited for.
      if (this.#isConnected) await within(connection.drain().catch(() => {}), CLOSE_MS, () => {})
      await connection.close()
    }
    await this.#running
  }

  async #run (): Promise<void> {
    const { log } = this.#options
    for (let failures = 0; !this.#closing.signal.aborted;) {
      try {
        this.#connection = await connect(optionsOf(this.#options))
        failures = 0
        this.#changed(true)
        await this.#follow(this.#connection)
      } catch (error) {
        if (failures++ === 0) log.warn({ err: error }, 'NATS is away: events wait for it')
      }
      this.#changed(false)
      await sleep(Math.min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2), undefined, { signal: this.#closing.signal }).catch(() => {})
    }
  }

  /** Until it is closed for good: the client itself connects again. */
  async #follow (connection: NatsConnection): Promise<void> {
    const { log } = this.#options
    for await (const status of connection.status()) {
      if (status.type === 'disconnect' && this.#isConnected) {
        if (!this.#closing.signal.aborted) log.warn('NATS is away: events wait for it')
        this.#changed(false)
      } else if (status.type === 'reconnect') {
        log.info('NATS is back')
        this.#changed(true)
      } else if (status.type === 'error') log.warn({ err: status.error }, 'NATS complains')
    }
  }

  #changed (isConnected: boolean): void {
    if (this.#isConnected === isConnected) return
    this.#isConnected = isConnected
    if (isConnected) this.#arrival.resolve()
    else this.#arrival = Promise.withResolvers()
    this.#options.onChange(isConnected)
  }
}

/** The client takes no credentials from a URL by itself. */
function optionsOf ({ url, name }: LinkOptions): ConnectionOptions {
  const { protocol, hostname, port, username, password } = new URL(url)
  if (hostname === '') throw new Error('NATS_URL: expected a URL with a host')
  const credentials = username === '' ? {} : password === '' ? { token: decodeURIComponent(username) } : { user: decodeURIComponent(username), pass: decodeURIComponent(password) }
  return {
    servers: `${hostname}:${port || '4222'}`,
    name,
    ...credentials,
    ...protocol === 'tls:' ? { tls: {} } : {},
    timeout: CONNECT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    reconnectJitter: 500,
    // Half-open connections are noticed.
    pingInterval: 10_000,
    maxPingOut: 2,
    // Credentials that are refused now may be taken later.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true
  }
}

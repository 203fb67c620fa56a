import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type ConfirmChannel, type RecoveringChannelModel } from 'amqplib'
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

/** What is done with a channel each time there is a new one. */
export interface ChannelUse {
  log: FastifyBaseLogger
  /** Nothing more is begun after it. */
  stopping: AbortSignal
  /** Declares what is needed, and begins. */
  open: (channel: ConfirmChannel) => Promise<void>
  /** It has closed; with the server's reason, if it gave one. */
  closed: (reason: Error | undefined) => void
}

const CONNECT_MS = 5_000
const MAX_PAUSE_MS = 5_000
const CLOSE_MS = 2_000
/** Half-open connections are noticed within twice as long. */
const HEARTBEAT_SECONDS = '15'

/** The one connection with RabbitMQ. It is there again some time after whatever took it away; nobody need wait for it to start. */
export class RabbitLink {
  readonly #options: LinkOptions
  readonly #url: string
  #model: RecoveringChannelModel | undefined
  #blocked: string | undefined
  readonly #channels = new Set<ConfirmChannel>()

  /** @throws Error when the URL can't be used */
  constructor (options: LinkOptions) {
    this.#options = options
    const url = new URL(options.url)
    if (url.hostname === '') throw new Error('RABBITMQ_URL: expected a URL with a host')
    if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', HEARTBEAT_SECONDS)
    this.#url = url.href
  }

  /** Why the server takes nothing now: it is low on memory or disk. */
  get blocked (): string | undefined {
    return this.#blocked
  }

  /** Begins to connect, again and again. */
  async start (): Promise<void> {
    const { name, log, onChange } = this.#options
    const model = await connect(this.#url, {
      timeout: CONNECT_MS,
      noDelay: true,
      clientProperties: { connection_name: name },
      recovery: { initialDelay: 100, maxDelay: MAX_PAUSE_MS, waitForConnect: false }
    })
    let failures = 0
    this.#model = model
    model.on('connect', () => {
      if (failures > 0) log.info('RabbitMQ is back')
      failures = 0
      onChange(true)
    })
    const away = (error: Error) => {
      if (failures++ === 0) log.warn({ err: error }, 'RabbitMQ is away: events wait for it')
      this.#blocked = undefined
      onChange(false)
    }
    model.on('disconnect', away)
    model.on('connect-failed', away)
    // It closes, too, and is told of there.
    model.on('error', () => {})
    model.on('blocked', reason => {
      log.warn({ reason }, 'RabbitMQ takes no messages now')
      this.#blocked = reason
    })
    model.on('unblocked', () => { this.#blocked = undefined })
  }

  /** Keeps a channel open until the signal fires: a new one after each that closes. */
  async keepChannel ({ log, stopping, open, closed }: ChannelUse): Promise<void> {
    for (let failures = 0; !stopping.aborted;) {
      try {
        const channel = await this.#channel()
        this.#channels.add(channel)
        let reason: Error | undefined
        channel.on('error', error => { reason = error })
        const gone = new Promise(resolve => channel.once('close', resolve))
        try {
          await open(channel)
          if (failures > 0) log.info('a channel of RabbitMQ works again')
          failures = 0
          await gone
        } finally {
          // One that is left half set up.
          await channel.close().catch(() => {})
          this.#channels.delete(channel)
          closed(reason)
        }
        if (reason !== undefined && !stopping.aborted) log.warn({ err: reason }, 'RabbitMQ has closed a channel')
      } catch (error) {
        if (stopping.aborted) return
        if (failures++ === 0) log.warn({ err: error }, 'a channel of RabbitMQ can\'t be set up now')
      }
      await sleep(Math.min(MAX_PAUSE_MS, 50 * 2 ** Math.min(failures, 10)), undefined, { signal: stopping }).catch(() => {})
    }
  }

  /** Sends what is to be sent, and leaves. A server that does not answer is not waited for. */
  async close (): Promise<void> {
    // The end of the connection could overtake what its channels still have to send, such as acknowledgements.
    await within(Promise.allSettled([...this.#channels].map(async channel => await channel.close())), CLOSE_MS, () => {})
    if (this.#model !== undefined) await within(this.#model.close().catch(() => {}), CLOSE_MS, () => {})
  }

  async #channel (): Promise<ConfirmChannel> {
    if (this.#model === undefined) throw new Error('There is no connection with RabbitMQ')
    return await this.#model.createConfirmChannel()
  }
}

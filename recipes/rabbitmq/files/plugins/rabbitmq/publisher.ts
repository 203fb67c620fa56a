import type { FastifyBaseLogger } from 'fastify'
import type { StoredEvent } from '../events/index.ts'
import { BrokerAwayError } from '../inbox/broker-away.ts'
import { toCloudEvent } from '../inbox/cloud-event.ts'
import { ConfirmedPublisher } from './confirmed.ts'
import type { RabbitLink } from './link.ts'
import { toProperties } from './properties.ts'

export interface PublisherOptions {
  link: RabbitLink
  exchange: string
  /** CloudEvents `source`. */
  source: string
  log: FastifyBaseLogger
  stopping: AbortSignal
  /** Whether an event that no queue is bound for waits for one. */
  holds: boolean
  /** Is told of an event that went to no queue. */
  onUnroutable: () => void
}

const MAX_KEY = 255
/** What the server says, closing the channel, of a message that is larger than it takes. */
const TOO_LARGE = /message size .* larger than/

/** Publishes events to a durable topic exchange; the routing key is the type. */
export class RabbitPublisher {
  readonly #options: PublisherOptions
  #publisher: ConfirmedPublisher | undefined
  #reason: Error | undefined
  /** Types that went to no queue: each is a warning once, and again after one of it had one. */
  readonly #unroutable = new Set<string>()

  constructor (options: PublisherOptions) {
    this.#options = options
  }

  /** Begins to keep a channel. */
  start (): void {
    const { link, exchange, log, stopping } = this.#options
    void link.keepChannel({
      log,
      // It publishes until its consumer has stopped.
      stopping,
      open: async channel => {
        await channel.assertExchange(exchange, 'topic', { durable: true })
        this.#reason = undefined
        this.#publisher = new ConfirmedPublisher(channel)
      },
      closed: reason => {
        this.#publisher = undefined
        this.#reason = reason
      }
    })
  }

  /**
   * Resolves when the server has confirmed the event.
   * @throws BrokerAwayError, or what is wrong with the event
   */
  async publish (event: StoredEvent): Promise<void> {
    const { link, exchange, source, holds } = this.#options
    if (Buffer.byteLength(event.type) > MAX_KEY) throw new Error(`The type of the event is no routing key: it has more than ${MAX_KEY} bytes`)
    const publisher = this.#publisher
    if (publisher === undefined) throw new BrokerAwayError('There is no channel of RabbitMQ')
    if (link.blocked !== undefined) throw new BrokerAwayError(`RabbitMQ takes no messages now: ${link.blocked}`)
    const confirmation = await publisher.publish(exchange, event.type, Buffer.from(event.json), toProperties(toCloudEvent(event, source))).catch(async error => {
      // The server's reason comes with the end of the channel.
      await new Promise(resolve => setImmediate(resolve))
      if (this.#reason !== undefined && TOO_LARGE.test(this.#reason.message)) throw this.#reason
      throw new BrokerAwayError(`RabbitMQ has not taken the event: ${(error as Error).message}`, { cause: error })
    })
    if (confirmation === 'queued') this.#unroutable.delete(event.type)
    else this.#missed(event, holds)
  }

  #missed ({ type }: StoredEvent, holds: boolean): void {
    const { exchange, log, onUnroutable } = this.#options
    if (holds) throw new BrokerAwayError(`No queue of RabbitMQ is bound for ${type}`)
    onUnroutable()
    if (this.#unroutable.has(type)) return
    this.#unroutable.add(type)
    log.warn({ exchange, type }, 'no queue is bound for events of this type: RabbitMQ drops them')
  }
}

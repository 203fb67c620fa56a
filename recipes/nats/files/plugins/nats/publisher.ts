import { jetstream } from '@nats-io/jetstream'
import { errors, type NatsConnection } from '@nats-io/transport-node'
import type { StoredEvent } from '../events/index.ts'
import { BrokerAwayError } from '../inbox/broker-away.ts'
import { toCloudEvent } from '../inbox/cloud-event.ts'
import { toHeaders } from './headers.ts'
import type { NatsLink } from './link.ts'
import { ensureStream, hasCode, managerOf, type StreamNeed } from './streams.ts'

export interface PublisherOptions {
  link: NatsLink
  stream: StreamNeed
  /** What stands before the type in the subject of an event. */
  prefix: string
  /** CloudEvents `source`. */
  source: string
}

const ACK_MS = 5_000
/** Tokens of a subject. */
const TYPE = /^[\w-]+(?:\.[\w-]+)*$/
/** What the event itself is the reason of: larger than the server or the stream takes. */
const TOO_LARGE = 10_054

/** Publishes events to a stream of JetStream. */
export class NatsPublisher {
  readonly #options: PublisherOptions
  /** The connection on which the stream was found. */
  #checked: NatsConnection | undefined

  constructor (options: PublisherOptions) {
    this.#options = options
  }

  /**
   * Resolves when the stream has stored the event. The same one again is not stored again, for as long as the stream remembers.
   * @throws BrokerAwayError, or what is wrong with the event
   */
  async publish (event: StoredEvent): Promise<void> {
    const { link, stream, prefix, source } = this.#options
    if (!TYPE.test(event.type)) throw new Error(`The type ${JSON.stringify(event.type)} can't be part of a NATS subject`)
    const { connection } = link
    if (connection === undefined) throw new BrokerAwayError('There is no connection with NATS')
    const cloudEvent = toCloudEvent(event, source)
    try {
      if (this.#checked !== connection) await ensureStream(await managerOf(connection), stream)
      this.#checked = connection
      await jetstream(connection).publish(`${prefix}.${event.type}`, event.json, { msgID: cloudEvent.id, headers: toHeaders(cloudEvent), timeout: ACK_MS })
    } catch (error) {
      if (isOfEvent(error)) throw error
      // It may be gone: look for it again.
      this.#checked = undefined
      throw new BrokerAwayError(`NATS has not taken the event: ${(error as Error).message}`, { cause: error })
    }
  }
}

function isOfEvent (error: unknown): boolean {
  const { cause = error } = error as Error
  return cause instanceof errors.InvalidArgumentError || hasCode(error, TOO_LARGE)
}

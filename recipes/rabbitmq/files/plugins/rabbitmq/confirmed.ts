import type { ConfirmChannel, Options } from 'amqplib'

const CONFIRM_MS = 5_000

/** What a server that answered did with a message: it is on a queue at least, or none was bound for it. */
export type Confirmation = 'queued' | 'unroutable'

/** What is not sent, since the client can't put it on the wire: other than its headers it may be. */
export class NotEncodedError extends Error {
  override name = 'NotEncodedError'
}

/** Publishes on a channel, and waits for what the server says. */
export class ConfirmedPublisher {
  readonly #channel: ConfirmChannel
  #last = 0
  /** What came back, by a correlation of ours: the answer follows. */
  readonly #returned = new Set<string>()

  constructor (channel: ConfirmChannel) {
    this.#channel = channel
    channel.on('return', message => { this.#returned.add(String((message.properties.headers as Record<string, unknown> | undefined)?.['keel-publish'])) })
  }

  /**
   * Resolves when the server has the message on disk.
   * @throws NotEncodedError, or Error when it has not said so in time (it may have it), refuses it, or the channel is gone
   */
  async publish (exchange: string, key: string, body: Buffer, options: Options.Publish): Promise<Confirmation> {
    const mark = String(++this.#last)
    const { promise: confirmed, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      reject(new Error(`RabbitMQ has not confirmed within ${CONFIRM_MS / 1000} s`))
      // What it may say later is for nobody.
      this.#channel.close().catch(() => {})
    }, CONFIRM_MS)
    try {
      this.#send(exchange, key, body, { ...options, mandatory: true, headers: { ...options.headers as object, 'keel-publish': mark } }, error => error === null ? resolve() : reject(error ?? new Error('RabbitMQ has refused the message')))
      await confirmed
      return this.#returned.has(mark) ? 'unroutable' : 'queued'
    } finally {
      clearTimeout(timer)
      this.#returned.delete(mark)
    }
  }

  /** What is thrown here, of a channel that is open, is about the properties: nothing was sent. */
  #send (...message: Parameters<ConfirmChannel['publish']>): void {
    try {
      this.#channel.publish(...message)
    } catch (error) {
      throw new NotEncodedError((error as Error).message, { cause: error })
    }
  }
}

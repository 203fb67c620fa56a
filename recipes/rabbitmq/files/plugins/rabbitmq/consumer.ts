import { setTimeout as sleep } from 'node:timers/promises'
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { delayAfter, type MessageConsumer } from '../inbox/definition.ts'
import type { Inbox, Outcome } from '../inbox/index.ts'
import { ConfirmedPublisher, NotEncodedError } from './confirmed.ts'
import type { RabbitLink } from './link.ts'
import { attemptOf, attributesOf, bareCopyOf, copyOf } from './properties.ts'
import { declareQueues, queueNames, type QueueNames } from './queues.ts'

/** Where the messages of a consumer come from. */
export interface Source {
  /** The exchange that the queue is bound to; without one, messages are sent to the queue itself. */
  exchange?: string
  /** Routing keys, or patterns of them, of which it gets the messages. */
  keys?: string[]
  /** The type of the exchange where this service is to make it. Without it the exchange is waited for. */
  create?: 'topic' | 'direct' | 'fanout'
}

export interface RabbitConsumerOptions {
  definition: MessageConsumer
  source: Source
  /** The name of its queue. */
  queue: string
  link: RabbitLink
  inbox: Inbox
  log: FastifyBaseLogger
}

const REASON_LENGTH = 500
/** After a message that could not be settled. */
const AGAIN_MS = 1_000

/** Takes the messages of a queue, so many at a time, and settles them with the server after their transactions. */
export class RabbitConsumer {
  readonly #options: RabbitConsumerOptions
  readonly #names: QueueNames
  readonly #delays: number[]

  constructor ({ log, ...options }: RabbitConsumerOptions) {
    const { definition: { name, retry }, queue } = options
    this.#options = { ...options, log: log.child({ broker: 'rabbitmq', consumer: name }) }
    this.#names = queueNames(queue)
    this.#delays = [...new Set(Array.from({ length: retry.limit }, (_, index) => delayAfter(index + 1, retry)))]
  }

  /** Begins to take messages. */
  start (): void {
    const { link, log, inbox: { stopping } } = this.#options
    void link.keepChannel({ log, stopping, open: async channel => await this.#open(channel), closed: () => {} })
  }

  async #open (channel: ConfirmChannel): Promise<void> {
    const { definition: { concurrency }, source, inbox: { stopping } } = this.#options
    await declareQueues(channel, this.#names, source, this.#delays)
    await channel.prefetch(concurrency)
    const publisher = new ConfirmedPublisher(channel)
    const { consumerTag } = await channel.consume(this.#names.main, message => {
      // The queue was deleted: it is declared anew on another channel.
      if (message === null) channel.close().catch(() => {})
      else void this.#take(channel, publisher, message)
    })
    const stop = () => { channel.cancel(consumerTag).catch(() => {}) }
    stopping.addEventListener('abort', stop)
    channel.once('close', () => stopping.removeEventListener('abort', stop))
    if (stopping.aborted) stop()
  }

  async #take (channel: ConfirmChannel, publisher: ConfirmedPublisher, message: ConsumeMessage): Promise<void> {
    const { definition, inbox, log } = this.#options
    const delivery = { body: message.content, contentType: message.properties.contentType as string | undefined, attributes: attributesOf(message), own: { source: 'rabbitmq', id: undefined }, attempt: attemptOf(message) }
    try {
      await inbox.take('rabbitmq', definition, delivery, async outcome => await this.#settle(channel, publisher, message, delivery.attempt, outcome))
    } catch (error) {
      log.warn({ err: error }, 'what became of a message could not be said to RabbitMQ: it comes again')
      // The next channel declares again what may be missing; what this one has is given out again.
      await sleep(AGAIN_MS, undefined, { signal: inbox.stopping }).catch(() => {})
      await channel.close().catch(() => {})
    }
  }

  async #settle (channel: ConfirmChannel, publisher: ConfirmedPublisher, message: ConsumeMessage, attempt: number, outcome: Outcome): Promise<void> {
    if (outcome.kind === 'released') return channel.nack(message, false, true)
    if (outcome.kind === 'retry') await this.#move(publisher, message, this.#names.retry(this.#delayFor(outcome.delayMs)), attempt)
    if (outcome.kind === 'dead') await this.#move(publisher, message, this.#names.dead, attempt, this.#reasons(message, attempt, outcome.reason))
    channel.ack(message)
  }

  /** Puts a copy on another queue of ours; the message itself is settled after that. */
  async #move (publisher: ConfirmedPublisher, message: ConsumeMessage, queue: string, attempts: number, more?: Record<string, string>): Promise<void> {
    const confirmation = await publisher.publish('', queue, message.content, copyOf(message, attempts, more)).catch(async (error: unknown) => {
      if (!(error instanceof NotEncodedError)) throw error
      // With what is added its headers are larger than a frame, or the client reads what it can't write.
      return await publisher.publish('', queue, message.content, bareCopyOf(message, attempts, { ...more, 'dead-headers': textOf(error.message) }))
    })
    if (confirmation === 'unroutable') throw new Error(`The queue ${queue} is not there`)
  }

  #delayFor (wantedMs: number): number {
    return this.#delays.find(delay => delay >= wantedMs) ?? this.#delays.at(-1) ?? wantedMs
  }

  #reasons ({ fields: { exchange, routingKey } }: ConsumeMessage, attempt: number, reason: string): Record<string, string> {
    return { 'dead-reason': textOf(reason), 'dead-queue': this.#names.main, 'dead-exchange': exchange, 'dead-key': routingKey, 'dead-attempts': String(attempt), 'dead-time': new Date().toISOString() }
  }
}

function textOf (reason: string): string {
  return reason.slice(0, REASON_LENGTH).toWellFormed()
}

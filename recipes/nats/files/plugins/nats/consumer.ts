import { setTimeout as sleep } from 'node:timers/promises'
import { AckPolicy, DeliverPolicy, JetStreamApiCodes, jetstream, type Consumer, type JsMsg } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import type { FastifyBaseLogger } from 'fastify'
import type { MessageConsumer } from '../inbox/definition.ts'
import type { Delivery, Inbox, Outcome } from '../inbox/index.ts'
import type { DeadLetters } from './dead-letters.ts'
import { fromHeaders } from './headers.ts'
import type { NatsLink } from './link.ts'
import { ensureStream, hasCode, managerOf, nameOf } from './streams.ts'

/** Where the messages of a consumer come from. */
export interface Source {
  stream: string
  /** Which of the stream: a subject, also with wildcards. */
  subject: string
  /** Subjects of the stream where there is none of its name, and this service is to make it. Without it the stream is waited for. */
  create?: string[]
  /** Where a consumer begins that is new to the stream; `end` without it. */
  from?: 'beginning' | 'end'
  /** After so long without a sign of life of the process that has it a message is given to another; 15 without it. */
  ackWaitSeconds?: number
}

export interface NatsConsumerOptions {
  definition: MessageConsumer
  source: Source
  /** Its name in the stream, where other services have theirs. */
  durable: string
  link: NatsLink
  inbox: Inbox
  deadLetters: DeadLetters
  log: FastifyBaseLogger
}

const NANOS = 1_000_000
/** How long the server may keep a request for a message open. */
const POLL_MS = 5_000
const MAX_PAUSE_MS = 5_000
const PAUSE_MS = 200
/** For a dead letter that could not be stored. */
const AGAIN_MS = 5_000

/** Takes the messages of a subject, so many at a time, and settles them with the server after their transactions. */
export class NatsConsumer {
  readonly #options: NatsConsumerOptions
  #failures = 0
  /** The consumer as it was found on a connection. */
  #found: { connection: NatsConnection, consumer: Promise<Consumer> } | undefined

  constructor ({ log, ...options }: NatsConsumerOptions) {
    this.#options = { ...options, log: log.child({ broker: 'nats', consumer: options.definition.name }) }
  }

  /** Begins to take messages. */
  start (): void {
    for (let slot = 0; slot < this.#options.definition.concurrency; slot++) void this.#run()
  }

  async #run (): Promise<void> {
    const { link, log, inbox: { stopping } } = this.#options
    while (!stopping.aborted) {
      try {
        const connection = await link.connected(stopping)
        const message = await this.#next(await this.#consumerOn(connection))
        if (this.#failures > 0) log.info('messages are taken again')
        this.#failures = 0
        if (message !== undefined) await this.#take(message)
      } catch (error) {
        if (stopping.aborted) return
        this.#found = undefined
        if (link.connection !== undefined && this.#failures++ === 0) log.warn({ err: error }, 'no messages can be taken now')
        await sleep(Math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ** Math.min(this.#failures, 10)), undefined, { signal: stopping }).catch(() => {})
      }
    }
  }

  /** The next message; undefined when there is none for now. One that comes when it is too late is given back. */
  async #next (consumer: Consumer): Promise<JsMsg | undefined> {
    const { stopping } = this.#options.inbox
    const next = consumer.next({ expires: POLL_MS })
    const { promise: stopped, resolve } = Promise.withResolvers<null>()
    const stop = () => resolve(null)
    stopping.addEventListener('abort', stop)
    const message = await Promise.race([next, stopped]).finally(() => stopping.removeEventListener('abort', stop))
    if (!stopping.aborted) return message ?? undefined
    next.then(late => late?.nak(), () => {})
    return undefined
  }

  async #take (message: JsMsg): Promise<void> {
    const { definition, source: { ackWaitSeconds = 15 }, inbox, log } = this.#options
    const { stream, streamSequence, deliveryCount } = message.info
    const { attributes, contentType } = fromHeaders(message.headers)
    const own = { source: `nats:${stream}`, id: message.headers?.get('Nats-Msg-Id') || nameOf(message) }
    const delivery: Delivery = { body: message.data, contentType, attributes, own, attempt: deliveryCount }
    const signs = setInterval(() => message.working(), ackWaitSeconds * 1000 / 3)
    try {
      await inbox.take('nats', definition, delivery, async outcome => await this.#settle(message, outcome))
    } catch (error) {
      // The server gives it out again.
      log.warn({ err: error, sequence: streamSequence }, 'what became of a message could not be said to NATS')
    } finally {
      clearInterval(signs)
    }
  }

  async #settle (message: JsMsg, outcome: Outcome): Promise<void> {
    const { definition, deadLetters } = this.#options
    if (outcome.kind === 'retry') return message.nak(Math.round(outcome.delayMs * (0.75 + Math.random() / 2)))
    if (outcome.kind === 'released') return message.nak()
    if (outcome.kind === 'dead') {
      try {
        await deadLetters.store(definition.name, message, outcome.reason)
      } catch (error) {
        message.nak(AGAIN_MS)
        throw error
      }
    }
    message.ack()
  }

  async #consumerOn (connection: NatsConnection): Promise<Consumer> {
    if (this.#found?.connection !== connection) this.#found = { connection, consumer: this.#find(connection) }
    return await this.#found.consumer
  }

  /** Finds the durable consumer, or makes it; what the code says of it counts. */
  async #find (connection: NatsConnection): Promise<Consumer> {
    const { source: { stream, subject, create, from = 'end', ackWaitSeconds = 15 }, durable } = this.#options
    const manager = await managerOf(connection)
    if (create !== undefined) await ensureStream(manager, { name: stream, subjects: create })
    const ackWait = ackWaitSeconds * 1000 * NANOS
    try {
      const { config } = await manager.consumers.info(stream, durable)
      if (config.filter_subject !== subject || config.ack_wait !== ackWait) await manager.consumers.update(stream, durable, { filter_subject: subject, ack_wait: ackWait })
    } catch (error) {
      if (!hasCode(error, JetStreamApiCodes.ConsumerNotFound)) throw error
      await manager.consumers.add(stream, {
        durable_name: durable,
        filter_subject: subject,
        ack_policy: AckPolicy.Explicit,
        ack_wait: ackWait,
        // How often is for us to say: what the server gives up is in no dead letter.
        max_deliver: -1,
        deliver_policy: from === 'end' ? DeliverPolicy.New : DeliverPolicy.All
      })
    }
    return await jetstream(connection).consumers.get(stream, durable)
  }
}

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { TSchema } from 'typebox'
import { completeConsumer } from '../inbox/definition.ts'
import type { MessageConsumerDefinition } from '../inbox/index.ts'
import { RabbitConsumer, type Source } from './consumer.ts'
import { RabbitLink } from './link.ts'
import { RabbitPublisher } from './publisher.ts'

declare module 'fastify' {
  interface FastifyInstance {
    rabbitmq: {
      /** Declares a consumer of messages with a queue of its own; in a module of `jobs/`, before the service is ready. It runs unless ROLE is `web`. */
      consume: <Schema extends TSchema>(definition: MessageConsumerDefinition<Schema> & Source) => void
    }
  }
}

const BROKER = 'rabbitmq'
/** Events that are published in one transaction of the consumer. */
const BATCH = 20
const PREFIX = /^[a-z0-9][a-z0-9_-]{0,31}$/i

/** Publishes every domain event to RabbitMQ, and handles messages of it; without RABBITMQ_URL it does neither. */
async function rabbitmq (fastify: FastifyInstance) {
  const { log, inbox, config: { RABBITMQ_URL, RABBITMQ_PREFIX, RABBITMQ_UNROUTABLE, ROLE } } = fastify
  if (!PREFIX.test(RABBITMQ_PREFIX)) throw new Error('RABBITMQ_PREFIX: expected letters, digits, "-" and "_", at most 32')
  const declared = new Map<string, (link: RabbitLink) => RabbitConsumer>()
  let isReady = false

  fastify.decorate('rabbitmq', {
    consume: <Schema extends TSchema>({ exchange, keys, create, ...definition }: MessageConsumerDefinition<Schema> & Source) => {
      const complete = completeConsumer(definition)
      const { name } = complete
      if (isReady) throw new Error(`The consumer of messages "${name}" is declared too late: consumers are declared before the service is ready.`)
      if (declared.has(name)) throw new Error(`The consumer of messages "${name}" is declared twice.`)
      declared.set(name, link => new RabbitConsumer({ definition: complete, source: { exchange, keys, create }, queue: `${RABBITMQ_PREFIX}.${name}`, link, inbox, log }))
    }
  })
  fastify.addHook('onReady', async () => { isReady = true })

  if (RABBITMQ_URL === undefined) {
    fastify.addHook('onReady', async () => log.info({ consumers: [...declared.keys()] }, 'RABBITMQ_URL is not set: nothing is published to RabbitMQ, and these consumers of messages do not run'))
    return
  }

  const { published, unroutable, connected } = inbox.metrics
  const labels = { broker: BROKER }
  const closing = new AbortController()
  const link = new RabbitLink({ url: RABBITMQ_URL, name: RABBITMQ_PREFIX, log, onChange: isConnected => connected.set(labels, Number(isConnected)) })
  const publisher = new RabbitPublisher({ link, exchange: `${RABBITMQ_PREFIX}.events`, source: inbox.source, log, stopping: closing.signal, holds: RABBITMQ_UNROUTABLE === 'hold', onUnroutable: () => unroutable.inc(labels) })
  fastify.consumeEvents({
    name: BROKER,
    batch: BATCH,
    handler: async event => {
      await publisher.publish(event)
      published.inc(labels)
    }
  })
  // Its place in the log is taken by every process; those that serve requests publish and handle nothing.
  if (ROLE === 'web') return
  for (const counter of [published, unroutable]) counter.inc(labels, 0)
  connected.set(labels, 0)

  fastify.addHook('onReady', async () => {
    await link.start()
    publisher.start()
    for (const [name, make] of declared) {
      inbox.metrics.expect(BROKER, name)
      make(link).start()
    }
  })
  fastify.addHook('onClose', async () => {
    closing.abort()
    await link.close()
  })
}

export default fp(rabbitmq, { name: BROKER, dependencies: ['config', 'events', 'inbox', 'shutdown'] })

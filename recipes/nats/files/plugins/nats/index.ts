import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { TSchema } from 'typebox'
import { completeConsumer } from '../inbox/definition.ts'
import type { MessageConsumerDefinition } from '../inbox/index.ts'
import { NatsConsumer, type Source } from './consumer.ts'
import { DeadLetters } from './dead-letters.ts'
import { NatsLink } from './link.ts'
import { NatsPublisher } from './publisher.ts'

declare module 'fastify' {
  interface FastifyInstance {
    nats: {
      /** Declares a consumer of messages of a JetStream stream; in a module of `jobs/`, before the service is ready. It runs unless ROLE is `web`. */
      consume: <Schema extends TSchema>(definition: MessageConsumerDefinition<Schema> & Source) => void
    }
  }
}

const CONSUMER = 'nats'
/** Events that are published in one transaction of the consumer. */
const BATCH = 20
const DEAD_MS = 30 * 86_400_000
const PREFIX = /^[a-z0-9][a-z0-9_-]{0,31}$/i

/** Publishes every domain event to NATS JetStream, and handles messages of it; without NATS_URL it does neither. */
async function nats (fastify: FastifyInstance) {
  const { log, inbox, config: { NATS_URL, NATS_PREFIX, EVENTS_RETENTION, ROLE } } = fastify
  if (!PREFIX.test(NATS_PREFIX)) throw new Error('NATS_PREFIX: expected letters, digits, "-" and "_", at most 32')
  const declared = new Map<string, (link: NatsLink) => NatsConsumer>()
  let isReady = false

  fastify.decorate('nats', {
    consume: <Schema extends TSchema>({ stream, subject, create, from, ackWaitSeconds, ...definition }: MessageConsumerDefinition<Schema> & Source) => {
      const complete = completeConsumer(definition)
      const { name } = complete
      if (isReady) throw new Error(`The consumer of messages "${name}" is declared too late: consumers are declared before the service is ready.`)
      if (declared.has(name)) throw new Error(`The consumer of messages "${name}" is declared twice.`)
      declared.set(name, link => new NatsConsumer({
        definition: complete,
        source: { stream, subject, create, from, ackWaitSeconds },
        durable: `${NATS_PREFIX}-${name}`,
        link,
        inbox,
        deadLetters: new DeadLetters(link, { name: `${NATS_PREFIX}-dead`, subjects: [`${NATS_PREFIX}.dead.>`], maxAgeMs: DEAD_MS }, `${NATS_PREFIX}.dead`),
        log
      }))
    }
  })
  fastify.addHook('onReady', async () => { isReady = true })

  if (NATS_URL === undefined) {
    fastify.addHook('onReady', async () => log.info({ consumers: [...declared.keys()] }, 'NATS_URL is not set: nothing is published to NATS, and these consumers of messages do not run'))
    return
  }

  const { published, connected } = inbox.metrics
  const link = new NatsLink({ url: NATS_URL, name: NATS_PREFIX, log, onChange: isConnected => connected.set({ broker: 'nats' }, Number(isConnected)) })
  const prefix = `${NATS_PREFIX}.events`
  const publisher = new NatsPublisher({ link, stream: { name: `${NATS_PREFIX}-events`, subjects: [`${prefix}.>`], maxAgeMs: EVENTS_RETENTION }, prefix, source: inbox.source })
  fastify.consumeEvents({
    name: CONSUMER,
    batch: BATCH,
    handler: async event => {
      await publisher.publish(event)
      published.inc({ broker: 'nats' })
    }
  })
  // Its place in the log is taken by every process; those that serve requests publish and handle nothing.
  if (ROLE === 'web') return
  published.inc({ broker: 'nats' }, 0)
  connected.set({ broker: 'nats' }, 0)

  fastify.addHook('onReady', async () => {
    link.start()
    for (const [name, make] of declared) {
      inbox.metrics.expect('nats', name)
      make(link).start()
    }
  })
  fastify.addHook('onClose', async () => await link.close())
}

export default fp(nats, { name: 'nats', dependencies: ['config', 'events', 'inbox', 'shutdown'] })

import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { connectionProblem } from '../../prisma/migrate.ts'
import { EventConsumer, type ConsumerDefinition } from './consumer.ts'
import { EventHub } from './hub.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The domain events of all processes of the service, as they are committed. */
    events: EventHub
    /**
     * Declares a durable consumer, before the service is ready. Its handler gets every event of the log, in
     * order, in one process at a time; it runs unless ROLE is `web`.
     */
    consumeEvents: (definition: ConsumerDefinition) => void
  }
}

/**
 * Follows the events that transactions write (transactional outbox): PostgreSQL notifies every
 * process, which reads the log in order and passes it on.
 */
async function events (fastify: FastifyInstance) {
  const { config, prisma, log, databaseUrl: url } = fastify
  const source = { url, schema: new URL(url).searchParams.get('schema') ?? undefined }
  const hub = new EventHub({ prisma, source, log })
  const consumers = new Map<string, EventConsumer>()
  let isReady = false
  fastify.decorate('events', hub)

  // Also what can't be sent now (503) is no fault of the event.
  const isOutage = (error: unknown) => (error as { statusCode?: number }).statusCode === 503 || connectionProblem(error, url) !== undefined
  fastify.decorate('consumeEvents', (definition: ConsumerDefinition) => {
    const { name } = definition
    if (isReady) throw new Error(`The consumer "${name}" is declared too late: consumers are declared before the service is ready.`)
    if (consumers.has(name)) throw new Error(`The consumer "${name}" is declared twice.`)
    consumers.set(name, new EventConsumer(definition, { prisma, hub, log, isOutage }))
  })

  fastify.addHook('onReady', async () => {
    isReady = true
    // All processes register: what is recorded from now on is for the consumer, whichever process it runs in.
    for (const [name, consumer] of consumers) await consumer.register().catch(error => log.warn({ err: error, consumer: name }, 'the consumer has no place in the log yet'))
    if (config.ROLE !== 'web') for (const consumer of consumers.values()) consumer.start()
  })

  // What handlers use is still there.
  fastify.addHook('preClose', async () => {
    const stopped = Promise.all([...consumers.values()].map(consumer => consumer.stop()))
    await Promise.race([stopped, sleep(config.SHUTDOWN_GRACE_MS, undefined, { ref: false })])
  })
  fastify.addHook('onClose', async () => await hub.close())
}

export type { ConsumerDefinition } from './consumer.ts'
export type { StoredEvent } from './log.ts'
export type { EventHandler } from './step.ts'
export type { ResetReason, Sink } from './subscription.ts'
export default fp(events, { name: 'events', dependencies: ['config', 'database'] })

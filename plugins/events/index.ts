import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { PrismaClient } from '../../prisma/generated/client.ts'
import { within } from '../../server/within.ts'
import { EventConsumer, type ConsumerDefinition } from './consumer.ts'
import { EventHub } from './hub.ts'
import { listen } from './listener.ts'

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

export interface EventsOptions {
  /** Calls back after each transaction of a client that recorded events; needed with REDIS_URL. */
  onEvents?: (prisma: PrismaClient, wake: () => void) => void
}

/**
 * Follows the events that transactions write (transactional outbox): PostgreSQL notifies every
 * process, or Redis does, and the process reads the log in order and passes it on.
 */
async function events (fastify: FastifyInstance, { onEvents }: EventsOptions) {
  const { config, prisma, log, shutdown } = fastify
  const hub = await openHub(fastify, onEvents)
  const consumers = new Map<string, EventConsumer>()
  let isReady = false
  fastify.decorate('events', hub)

  fastify.decorate('consumeEvents', (definition: ConsumerDefinition) => {
    const { name } = definition
    if (isReady) throw new Error(`The consumer "${name}" is declared too late: consumers are declared before the service is ready.`)
    if (consumers.has(name)) throw new Error(`The consumer "${name}" is declared twice.`)
    consumers.set(name, new EventConsumer(definition, { prisma, hub, log }))
  })

  fastify.addHook('onReady', async () => {
    isReady = true
    // All processes register: what is recorded from now on is for the consumer, whichever process it runs in.
    for (const [name, consumer] of consumers) await consumer.register().catch(error => log.warn({ err: error, consumer: name }, 'the consumer has no place in the log yet'))
    if (config.ROLE === 'web') return
    await nameGone().catch(() => {})
    for (const consumer of consumers.values()) consumer.start()
  })

  /** The log is kept for a consumer that the code no longer has. It is only named: another release may have it. */
  async function nameGone (): Promise<void> {
    const gone = await prisma.eventConsumer.findMany({ where: { name: { notIn: [...consumers.keys()] } }, orderBy: { name: 'asc' } })
    for (const { name } of gone) log.warn({ consumer: name }, `events are kept for a consumer that this release does not have: if no other has it, npm run kit -- events drop ${name}`)
  }

  // What handlers use is still there.
  fastify.addHook('preClose', async () => {
    await within(Promise.all([...consumers.values()].map(consumer => consumer.stop())), shutdown.remainingMs(), () => {})
  })
}

/** The reader of the log, and what wakes it up. It closes with the service. */
async function openHub (fastify: FastifyInstance, onEvents: EventsOptions['onEvents']): Promise<EventHub> {
  const { prisma, log, databaseUrl: url, config: { REDIS_URL } } = fastify
  const source = { url, schema: new URL(url).searchParams.get('schema') ?? undefined }
  if (REDIS_URL === undefined) {
    const hub = new EventHub({ prisma, log, listen: onWake => listen(source, onWake, log) })
    fastify.addHook('onClose', async () => await hub.close())
    return hub
  }
  // Loaded only where it is used.
  const { redisChannel } = await import('./redis-listener.ts')
  const channel = redisChannel(REDIS_URL, source, log)
  const hub = new EventHub({ prisma, log, listen: channel.listen })
  onEvents?.(prisma, () => {
    // The own process needs no Redis to hear of it.
    hub.wake()
    channel.announce()
  })
  fastify.addHook('onClose', async () => {
    await hub.close()
    channel.close()
  })
  return hub
}

export type { ConsumerDefinition } from './consumer.ts'
export type { EventHub } from './hub.ts'
export type { EventFilter, StoredEvent } from './log.ts'
export type { EventHandler } from './step.ts'
export type { Following, ResetReason, Sink } from './subscription.ts'
export default fp(events, { name: 'events', dependencies: ['config', 'database', 'shutdown'] })

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { EventHub } from './hub.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The domain events of all processes of the service, as they are committed. */
    events: EventHub
  }
}

/**
 * Follows the events that transactions write (transactional outbox): PostgreSQL notifies every
 * process, which reads the log in order and passes it on.
 */
async function events (fastify: FastifyInstance) {
  const hub = new EventHub({ prisma: fastify.prisma, source: fastify.databaseSource, log: fastify.log })
  fastify.decorate('events', hub)
  fastify.addHook('onClose', async () => await hub.close())
}

export type { EventFilter, StoredEvent } from './log.ts'
export type { Following, ResetReason, Sink } from './subscription.ts'
export default fp(events, { name: 'events', dependencies: ['config', 'database'] })

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { PrismaClient } from '../../prisma/generated/client.ts'
import { EventHub } from './hub.ts'
import { listen } from './listener.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The domain events of all processes of the service, as they are committed. */
    events: EventHub
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
  const { prisma, log, config: { REDIS_URL }, databaseSource: source } = fastify
  if (REDIS_URL === undefined) {
    const hub = new EventHub({ prisma, log, listen: onWake => listen(source, onWake, log) })
    fastify.decorate('events', hub)
    fastify.addHook('onClose', async () => await hub.close())
    return
  }
  // Loaded only where it is used.
  const { redisChannel } = await import('./redis-listener.ts')
  const channel = redisChannel(REDIS_URL, source, log)
  const hub = new EventHub({ prisma, log, listen: channel.listen })
  fastify.decorate('events', hub)
  onEvents?.(prisma, () => {
    // The own process needs no Redis to hear of it.
    hub.wake()
    channel.announce()
  })
  fastify.addHook('onClose', async () => {
    await hub.close()
    channel.close()
  })
}

export type { EventFilter, StoredEvent } from './log.ts'
export type { Following, ResetReason, Sink } from './subscription.ts'
export default fp(events, { name: 'events', dependencies: ['config', 'database'] })

import type { FastifyInstance } from 'fastify'
import { Histogram, type Registry } from 'prom-client'
import { hear } from './channel.ts'
import { gauge } from './http.ts'

const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

/** Queries and the pool of connections. */
export function observeDatabase (fastify: FastifyInstance, registry: Registry): void {
  const queries = new Histogram({ name: 'database_query_duration_seconds', help: 'Queries of Prisma, from the wait for a connection to the last row', buckets: SECONDS, registers: [registry] })
  hear<{ durationMs: number }>(fastify, 'keel:query', ({ durationMs }) => queries.observe(durationMs / 1000))
  fastify.addHook('onReady', async () => {
    if (!fastify.hasDecorator('databasePool')) return
    const pool = fastify.databasePool
    gauge(registry, 'database_pool_connections', 'Connections that Prisma has', () => pool.totalCount)
    gauge(registry, 'database_pool_connections_in_use', 'Of these, those that do something', () => pool.totalCount - pool.idleCount)
    gauge(registry, 'database_pool_waiting', 'Who waits for a connection', () => pool.waitingCount)
    gauge(registry, 'database_pool_connections_max', 'DATABASE_POOL_MAX', () => fastify.config.DATABASE_POOL_MAX)
  })
}

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { gauge } from './http.ts'

const BACKLOG_TIMEOUT_MS = 1_000
const JOB_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300]
const CALL_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const QUERY_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

/** What the other plugins do, from their decorators and the channels that they publish on. Each may be missing. */
export function observeSubsystems (fastify: FastifyInstance, registry: Registry): void {
  const registers = [registry]
  const queries = new Histogram({ name: 'database_query_duration_seconds', help: 'Queries of Prisma, from the wait for a connection to the last row', buckets: QUERY_SECONDS, registers })
  const attempts = new Counter({ name: 'jobs_total', help: 'Attempts at jobs, by how they ended: done, retry, dead', labelNames: ['queue', 'outcome'], registers })
  const seconds = new Histogram({ name: 'job_duration_seconds', help: 'Attempts at jobs', labelNames: ['queue'], buckets: JOB_SECONDS, registers })
  const logins = new Counter({ name: 'logins_total', help: 'Attempts to sign in, by how they ended: done, refused, throttled, busy, error', labelNames: ['outcome'], registers })
  const calls = new Histogram({ name: 'http_client_call_duration_seconds', help: 'Calls of other services, retries and all, by how they ended: done, or the code of the error', labelNames: ['origin', 'outcome'], buckets: CALL_SECONDS, registers })

  // For Prometheus a rise from nothing is no rise.
  for (const outcome of ['done', 'refused', 'throttled', 'busy', 'error']) logins.inc({ outcome }, 0)
  const channels: Record<string, (message: unknown) => void> = {
    'keel:query': message => queries.observe((message as { durationMs: number }).durationMs / 1000),
    'keel:job': message => {
      const { queue, outcome, durationMs } = message as { queue: string, outcome: string, durationMs: number }
      attempts.inc({ queue, outcome })
      seconds.observe({ queue }, durationMs / 1000)
    },
    'keel:http-call': message => {
      const { origin, outcome, durationMs } = message as { origin: string, outcome: string, durationMs: number }
      calls.observe({ origin, outcome }, durationMs / 1000)
    },
    'keel:login': message => logins.inc({ outcome: (message as { outcome: string }).outcome })
  }
  for (const [name, listener] of Object.entries(channels)) subscribe(name, listener)
  fastify.addHook('onClose', async () => { for (const [name, listener] of Object.entries(channels)) unsubscribe(name, listener) })

  fastify.addHook('onReady', async () => {
    if (fastify.hasDecorator('databasePool')) {
      const pool = fastify.databasePool
      gauge(registry, 'database_pool_connections', 'Connections that Prisma has', () => pool.totalCount)
      gauge(registry, 'database_pool_connections_in_use', 'Of these, those that do something', () => pool.totalCount - pool.idleCount)
      gauge(registry, 'database_pool_waiting', 'Who waits for a connection', () => pool.waitingCount)
      gauge(registry, 'database_pool_connections_max', 'DATABASE_POOL_MAX', () => fastify.config.DATABASE_POOL_MAX)
    }
    if (fastify.hasDecorator('eventStreams')) gauge(registry, 'sse_connections', 'Open event streams', () => fastify.eventStreams.size)
    if (fastify.hasDecorator('sockets')) gauge(registry, 'websocket_connections', 'Open WebSockets', () => fastify.sockets.size)
    if (!fastify.hasDecorator('jobs') || fastify.config.ROLE === 'web') return
    for (const queue of fastify.jobs.names()) {
      for (const outcome of ['done', 'retry', 'dead']) attempts.inc({ queue, outcome }, 0)
    }
    observeBacklog(fastify, registry)
  })
}

/** The queues are the same for every process: who sums them up counts them several times. */
function observeBacklog ({ jobs }: FastifyInstance, registry: Registry): void {
  const waiting = new Gauge({
    name: 'jobs_queued',
    help: 'Jobs on each queue of the deployment, by state: ready, deferred, active; of <queue>.dead the ready ones are dead',
    labelNames: ['queue', 'state'],
    registers: [registry],
    collect: async () => {
      // A database that is away leaves the rest of the scrape as it is.
      const { promise: late, resolve } = Promise.withResolvers<[]>()
      const timer = setTimeout(() => resolve([]), BACKLOG_TIMEOUT_MS)
      const queues = await Promise.race([jobs.backlog().catch((): [] => []), late])
      clearTimeout(timer)
      waiting.reset()
      for (const { name, ...states } of queues) {
        for (const [state, count] of Object.entries(states)) waiting.set({ queue: name, state }, count)
      }
    }
  })
}

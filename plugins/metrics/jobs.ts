import type { FastifyInstance } from 'fastify'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { within } from '../../server/within.ts'
import { hear } from './channel.ts'

const BACKLOG_TIMEOUT_MS = 1_000
const SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300]

/** Attempts at jobs and, where they run, the queues. */
export function observeJobs (fastify: FastifyInstance, registry: Registry): void {
  const registers = [registry]
  const attempts = new Counter({ name: 'jobs_total', help: 'Attempts at jobs, by how they ended: done, retry, dead', labelNames: ['queue', 'outcome'], registers })
  const seconds = new Histogram({ name: 'job_duration_seconds', help: 'Attempts at jobs', labelNames: ['queue'], buckets: SECONDS, registers })
  hear<{ queue: string, outcome: string, durationMs: number }>(fastify, 'keel:job', ({ queue, outcome, durationMs }) => {
    attempts.inc({ queue, outcome })
    seconds.observe({ queue }, durationMs / 1000)
  })
  fastify.addHook('onReady', async () => {
    if (!fastify.hasDecorator('jobs') || fastify.config.ROLE === 'web') return
    // For Prometheus a rise from nothing is no rise.
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
      const queues = await within(jobs.backlog().catch((): [] => []), BACKLOG_TIMEOUT_MS, (): [] => [])
      waiting.reset()
      for (const { name, ...states } of queues) {
        for (const [state, count] of Object.entries(states)) waiting.set({ queue: name, state }, count)
      }
    }
  })
}

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Registry } from 'prom-client'
import { observeCalls } from './calls.ts'
import { observeDatabase } from './database.ts'
import { exposition, type Exposition } from './exposition.ts'
import { observeRequests } from './http.ts'
import { observeJobs } from './jobs.ts'
import { listen } from './listener.ts'
import { observeLogins } from './logins.ts'
import { processMetrics } from './process.ts'
import { observeRealtime } from './realtime.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Measurements, for Prometheus. */
    metrics: Metrics
  }
}

export interface Metrics {
  /** Takes metrics of your own: `new Counter({ …, registers: [fastify.metrics.registry] })`. */
  registry: Registry
  /** Whether anybody may read them: otherwise nothing is measured. */
  isOn: boolean
  /** All of them, in the format that the Accept header asks for. */
  scrape: (accept?: string) => Promise<Exposition>
}

/** Measures requests, the process and the other plugins; `METRICS_PORT` or plugins/endpoints/metrics.ts gives it out. */
async function metrics (fastify: FastifyInstance) {
  const { METRICS_PORT, METRICS_TOKEN, NODE_ENV } = fastify.config
  const registry = new Registry()
  const isOn = METRICS_PORT !== undefined || METRICS_TOKEN !== undefined || NODE_ENV !== 'production'
  fastify.decorate('metrics', { registry, isOn, scrape: async accept => await exposition([registry, processMetrics()], accept) })
  if (!isOn) return
  // Event loop and garbage collection count from now on.
  processMetrics()
  observeRequests(fastify, registry)
  observeLogins(fastify, registry)
  observeDatabase(fastify, registry)
  observeJobs(fastify, registry)
  observeRealtime(fastify, registry)
  observeCalls(fastify, registry)
  if (METRICS_PORT === undefined) return

  let close: (() => Promise<void>) | undefined
  fastify.addHook('onReady', async () => { close = await listen(fastify, METRICS_PORT) })
  // The server has closed by now; what it leaves behind can be watched until the last job has ended.
  fastify.addHook('onClose', async () => {
    if (fastify.hasDecorator('jobs')) await fastify.jobs.drained()
    await close?.()
  })
}

export default fp(metrics, { name: 'metrics', dependencies: ['config', 'errors'] })

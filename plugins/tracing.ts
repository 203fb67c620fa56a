import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { tracing as loaded } from '../server/trace.ts'
import { within } from '../server/within.ts'

/** For so long the spans that are left may take at the end; a collector that is away takes for ever. */
const FLUSH_MS = 2_000
/** How often it is said that spans can't be sent. */
const REPEAT_MS = 60_000

/** Traces are made by what kit/serve loads before the service (kit/tracing); here are their end and their faults. */
async function tracing (fastify: FastifyInstance) {
  const { config, log } = fastify
  const sdk = loaded()
  if (sdk === undefined) {
    if (config.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined) fastify.addHook('onListen', async () => log.warn('There are no traces: start the service with kit/serve, or node --import=./kit/tracing/preload.ts'))
    return
  }
  let saidAt = -REPEAT_MS
  sdk.report(error => {
    if (performance.now() - saidAt < REPEAT_MS) return
    saidAt = performance.now()
    log.warn({ reason: error?.message }, 'traces can\'t be sent')
  })
  fastify.addHook('onClose', async () => {
    if (fastify.hasDecorator('jobs')) await fastify.jobs.drained()
    await within(sdk.end().catch(() => {}), FLUSH_MS, () => {})
  })
}

export default fp(tracing, { name: 'tracing', dependencies: ['config'] })

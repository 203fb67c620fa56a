import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Type } from 'typebox'
import { within } from '../../server/within.ts'
import { holdsToken } from '../config/token.ts'

/** Says whether what it looks at is well; `detail` is for the operator. Throwing means not well. */
export type HealthCheck = () => Promise<{ ok: boolean, detail?: string }>

declare module 'fastify' {
  interface FastifyInstance {
    /** Adds a dependency without which the service is not ready. */
    addHealthCheck: (name: string, check: HealthCheck) => void
  }
}

const CHECK_TIMEOUT_MS = 2_000
/** Probes come every few seconds anyway. */
const RETRY_AFTER_SECONDS = '5'

const Status = Type.Enum(['ok', 'unavailable'])
const Health = Type.Object({
  status: Status,
  checks: Type.Optional(Type.Record(
    Type.String({ pattern: '^[a-z-]{1,32}$' }),
    Type.Object({ status: Status, detail: Type.Optional(Type.String({ maxLength: 1000, pattern: '^[\\s\\S]*$' })) }),
    { description: 'Only for the holder of the metrics token', maxProperties: 32 }
  ))
}, { $id: 'Health', examples: [{ status: 'ok' }] })

/** Liveness and readiness: public, and never counted against a client's rate. */
async function health (fastify: FastifyInstance) {
  const checks = new Map<string, HealthCheck>()
  fastify.decorate('addHealthCheck', (name, check) => { checks.set(name, check) })
  const runAll = () => Promise.all([...checks].map(([name, check]) => run(name, check)))
  // Probes at the same time share one: anyone may ask, as often as they like.
  let running: ReturnType<typeof runAll> | undefined
  fastify.addSchema(Health)
  const config = { public: true, rateLimit: false as const, essential: true }
  const healthRef = Type.Unsafe<{ status: string, checks?: object }>({ $ref: 'Health#' })

  fastify.get('/health/live', {
    config,
    schema: { operationId: 'getLiveness', summary: 'The process answers', description: 'For restarting a process that hangs: looks at nothing else.', tags: ['health'], response: { 200: healthRef } }
  }, async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    return { status: 'ok' }
  })

  fastify.get('/health/ready', {
    config,
    schema: {
      operationId: 'getReadiness',
      summary: 'The service and what it depends on can serve requests',
      description: 'For balancers. The holder of the metrics token also sees each check.',
      tags: ['health'],
      response: { 200: healthRef, 503: healthRef }
    }
  }, async (request, reply) => {
    const results = await (running ??= runAll().finally(() => { running = undefined }))
    const status = results.every(([, result]) => result.status === 'ok') ? 'ok' : 'unavailable'
    for (const [name, { detail }] of results) if (detail !== undefined) request.log.warn({ check: name, detail }, 'not ready')
    reply.header('cache-control', 'no-store').code(status === 'ok' ? 200 : 503)
    if (status !== 'ok') reply.header('retry-after', RETRY_AFTER_SECONDS)
    return { status, ...holdsToken(request.headers.authorization, fastify.config.METRICS_TOKEN) ? { checks: Object.fromEntries(results) } : {} }
  })
}

async function run (name: string, check: HealthCheck): Promise<[string, { status: string, detail?: string }]> {
  try {
    const { ok, detail } = await within(check(), CHECK_TIMEOUT_MS, () => { throw new Error(`no answer within ${CHECK_TIMEOUT_MS} ms`) })
    return [name, ok ? { status: 'ok' } : { status: 'unavailable', detail: (detail ?? 'not available').slice(0, 1000) }]
  } catch (error) {
    return [name, { status: 'unavailable', detail: (error as Error).message.slice(0, 1000) }]
  }
}

export default fp(health, { name: 'health', dependencies: ['config', 'errors'] })

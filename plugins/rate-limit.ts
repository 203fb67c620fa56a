import rateLimiter from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/**
 * Counts the requests of each client address over all routes. A route has its
 * own count with `config: { rateLimit: { max } }` and none with `rateLimit: false`.
 */
async function rateLimit (fastify: FastifyInstance) {
  await fastify.register(rateLimiter, {
    max: fastify.config.RATE_LIMIT_MAX,
    timeWindow: fastify.config.RATE_LIMIT_WINDOW,
    enableDraftSpec: true,
    errorResponseBuilder: (_request, { statusCode, max, after }) =>
      Object.assign(new Error(`More than ${max} requests in the window: try again in ${after}.`), { statusCode })
  })
  fastify.addHook('onRoute', route => {
    if (route.config?.rateLimit !== false) fastify.declareProblems(route, 429)
  })
}

export default fp(rateLimit, { name: 'rate-limit', dependencies: ['config', 'errors'] })

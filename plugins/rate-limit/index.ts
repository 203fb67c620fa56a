import rateLimiter, { normalizeIP, type FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

const OLD_HEADERS = ['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset'] as const

/**
 * Counts the requests of each client address over all routes. A route has its
 * own count with `config: { rateLimit: { max } }` and none with `rateLimit: false`.
 * With REDIS_URL all processes count together, else each by itself.
 */
async function rateLimit (fastify: FastifyInstance) {
  const shared = await openShared(fastify)
  await fastify.register(rateLimiter, {
    max: fastify.config.RATE_LIMIT_MAX,
    timeWindow: fastify.config.RATE_LIMIT_WINDOW,
    enableDraftSpec: true,
    ...shared ? { store: shared } : {},
    // A client that has hung up has no address any more.
    keyGenerator: ({ ip }: { ip?: string }) => ip === undefined ? 'gone' : normalizeIP(ip),
    errorResponseBuilder: (_request, { statusCode, max, after }) =>
      Object.assign(new Error(`More than ${max} requests in the window: try again in ${after}.`), { statusCode })
  })
  // The limiter's headers are those of an old draft: the current one has two structured fields.
  const windowSeconds = Math.ceil(fastify.config.RATE_LIMIT_WINDOW / 1000)
  fastify.addHook('onSend', (request, reply, _payload, done) => {
    const [limit, remaining, reset] = OLD_HEADERS.map(name => reply.getHeader(name))
    if (limit !== undefined) {
      for (const name of OLD_HEADERS) reply.removeHeader(name)
      const policy = typeof request.routeOptions.config?.rateLimit === 'object' ? 'route' : 'client'
      reply.header('ratelimit-policy', `"${policy}";q=${String(limit)};w=${windowSeconds}`)
      reply.header('ratelimit', `"${policy}";r=${String(remaining)};t=${String(reset)}`)
    }
    done()
  })
  fastify.addHook('onRoute', route => {
    if (route.config?.rateLimit !== false) fastify.declareProblems(route, 429)
  })
}

/** The counts of all processes, where there is a Redis for them; they close with the service. */
async function openShared (fastify: FastifyInstance): Promise<FastifyRateLimitStoreCtor | undefined> {
  const { REDIS_URL, DATABASE_URL } = fastify.config
  if (REDIS_URL === undefined) return undefined
  // Loaded only where it is used.
  const { sharedCounts } = await import('./shared-counts.ts')
  // Services that share a Redis have counts of their own.
  const { store, close } = sharedCounts(REDIS_URL, `keel:rate:${DATABASE_URL === undefined ? '' : new URL(DATABASE_URL).pathname.slice(1)}:`, fastify.log)
  fastify.addHook('onClose', async () => close())
  return store
}

export default fp(rateLimit, { name: 'rate-limit', dependencies: ['config', 'errors'] })

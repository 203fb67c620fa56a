import { ServerResponse, IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import helmet from 'helmet'

declare module 'fastify' {
  interface FastifyInstance {
    /** The security headers that every response carries. */
    securityHeaders: Readonly<Record<string, string>>
    /** What a page of an origin needs to read an answer; for what is answered before the hooks run. */
    corsHeaders: (origin: string | undefined) => Record<string, string>
  }
}

const PREFLIGHT_SECONDS = 7200
const EXPOSED = ['Deprecation', 'ETag', 'Idempotency-Replayed', 'Link', 'Location', 'Retry-After', 'Sunset', 'WWW-Authenticate', 'X-Request-Id', 'RateLimit', 'RateLimit-Policy']

/** Security headers on every response, and CORS for the origins of ALLOWED_ORIGINS. */
async function security (fastify: FastifyInstance) {
  const headers = await computeHeaders(fastify.config.NODE_ENV === 'production')
  fastify.decorate('securityHeaders', headers)
  fastify.addHook('onRequest', (_request, reply, done) => {
    reply.headers(headers)
    done()
  })

  const origins = new Set(fastify.config.ALLOWED_ORIGINS)
  fastify.decorate('corsHeaders', (origin: string | undefined): Record<string, string> => {
    if (origins.size === 0) return {}
    if (origin === undefined || !origins.has(origin)) return { vary: 'Origin' }
    return { vary: 'Origin', 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', 'access-control-expose-headers': EXPOSED.join(', ') }
  })
  if (origins.size === 0) return
  await fastify.register(cors, {
    // false leaves the response without any CORS header.
    origin: (origin, done) => done(null, origin !== undefined && origins.has(origin)),
    credentials: true,
    strictPreflight: false,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: EXPOSED,
    maxAge: PREFLIGHT_SECONDS
  })
}

/**
 * Helmet's headers for an API, computed once: they are the same for every
 * response, and helmet's own middleware takes longer than the rest of a request.
 */
async function computeHeaders (https: boolean): Promise<Record<string, string>> {
  const response = new ServerResponse(new IncomingMessage(new Socket()))
  const middleware = helmet({
    // Nothing this API answers is to be rendered; a page that is sets its own policy.
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    // Over plain http it would mean nothing, and on localhost it would follow the developer to other projects.
    strictTransportSecurity: https ? { maxAge: 63_072_000, includeSubDomains: true } : false,
    xFrameOptions: { action: 'deny' }
  })
  await new Promise<void>((resolve, reject) => {
    middleware(response.req, response, error => error ? reject(error instanceof Error ? error : new Error(String(error))) : resolve())
  })
  return Object.fromEntries(Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]))
}

export default fp(security, { name: 'security', dependencies: ['config'] })

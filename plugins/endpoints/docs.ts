import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** The page loads its own files and calls this service: nothing else. */
const PAGE_CSP = {
  'default-src': "'none'",
  'base-uri': "'none'",
  'connect-src': "'self'",
  'font-src': "'self'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
  'img-src': "'self' data:",
  'script-src': "'self'",
  // Swagger UI sets style attributes at run time.
  'style-src': "'self' 'unsafe-inline'"
}

/** The OpenAPI document at /openapi.json and the API reference at /docs (DOCS=off hides both). */
async function docs (fastify: FastifyInstance) {
  if (fastify.config.DOCS === 'off') return
  const { default: swaggerUi } = await import('@fastify/swagger-ui')

  fastify.get('/openapi.json', { config: { public: true }, schema: { hide: true } }, async () => fastify.swagger())

  await fastify.register(async scope => {
    scope.addHook('onRoute', route => {
      route.config = { ...route.config, public: true }
    })
    await scope.register(swaggerUi, { routePrefix: '/docs', staticCSP: PAGE_CSP, theme: { title: 'API reference' }, uiConfig: { persistAuthorization: false, docExpansion: 'list', deepLinking: true } })
  })
}

export default fp(docs, { name: 'docs', dependencies: ['config', 'openapi'] })

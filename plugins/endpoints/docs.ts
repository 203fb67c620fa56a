import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

export interface DocsOptions {
  /** Name and version of the service, as the document shows them. */
  info?: { title: string, version: string, description?: string, license?: { name: string, identifier?: string }, contact?: { name: string, url: string } }
  /** The groups of operations, in the order of the page. */
  tags?: { name: string, description: string }[]
}

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

/** OpenAPI 3.1 at /openapi.json and the API reference at /docs (DOCS=off hides both). */
async function docs (fastify: FastifyInstance, { info = { title: 'Service', version: '0.0.0' }, tags = [] }: DocsOptions) {
  await fastify.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info,
      tags,
      servers: [{ url: '/', description: 'This service' }],
      components: {
        securitySchemes: {
          accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Access token from POST /auth/login' }
        }
      }
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `def-${i}`) }
  })
  if (fastify.config.DOCS === 'off') return

  fastify.get('/openapi.json', { config: { public: true }, schema: { hide: true } }, async () => fastify.swagger())

  await fastify.register(async scope => {
    scope.addHook('onRoute', route => {
      route.config = { ...route.config, public: true }
    })
    await scope.register(swaggerUi, { routePrefix: '/docs', staticCSP: PAGE_CSP, uiConfig: { persistAuthorization: false, docExpansion: 'list', deepLinking: true } })
  })
}

export default fp(docs, { name: 'docs', dependencies: ['config'] })

import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { documentHeaders } from './headers.ts'

export interface OpenapiOptions {
  /** Name and version of the service, as the document shows them. */
  info?: { title: string, version: string, description?: string, license?: { name: string, identifier?: string }, contact?: { name: string, url: string } }
  /** The groups of operations, in the order of the page. */
  tags?: { name: string, description: string }[]
}

/** Collects the OpenAPI 3.1 document from the routes: `fastify.swagger()`. */
async function openapi (fastify: FastifyInstance, { info = { title: 'Service', version: '0.0.0' }, tags = [] }: OpenapiOptions) {
  await fastify.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info,
      tags,
      servers: [{ url: '/', description: 'Where this document comes from: local, staging or production', 'x-internal': false } as object & { url: string }],
      components: {
        securitySchemes: {
          accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Access token (RFC 9068) from POST /auth/login; verified as RFC8725 asks' }
        }
      }
    },
    transformObject: document => 'openapiObject' in document ? documentHeaders(document.openapiObject) : document.swaggerObject,
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `def-${i}`) }
  })
}

export default fp(openapi, { name: 'openapi' })

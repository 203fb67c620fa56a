import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Type } from 'typebox'

const Jwk = Type.Object({
  kty: Type.String({ maxLength: 8, pattern: '^[A-Z]+$' }),
  crv: Type.String({ maxLength: 16, pattern: '^[A-Za-z0-9-]+$' }),
  x: Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' }),
  y: Type.Optional(Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' })),
  kid: Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' }),
  alg: Type.Enum(['ES256', 'EdDSA']),
  use: Type.Enum(['sig'])
}, { description: 'A public key (RFC 7517)' })

/** The keys that others verify this service's access tokens with. */
async function jwks (fastify: FastifyInstance) {
  // Another issuer signs, and publishes its own.
  if (!fastify.hasDecorator('accessTokens')) return
  fastify.get('/.well-known/jwks.json', {
    config: { public: true },
    schema: {
      operationId: 'getJwks',
      summary: 'Public keys that verify access tokens',
      description: 'While keys rotate there are several; `kid` says which one signed a token (RFC 7517).',
      tags: ['auth'],
      response: { 200: Type.Object({ keys: Type.Array(Jwk, { maxItems: 10 }) }, { description: 'JSON Web Key Set' }) }
    }
  }, async (_request, reply) => {
    reply.header('cache-control', 'public, max-age=300')
    return fastify.accessTokens.jwks
  })
}

export default fp(jwks, { name: 'jwks', dependencies: ['auth'] })

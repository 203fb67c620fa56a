import { randomUUID } from 'node:crypto'
import jwt, { type Secret } from '@fastify/jwt'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { developmentKey, loadKeys, type Jwk } from './keys.ts'

/** What a signed-in request may rely on. */
export interface AuthenticatedUser { id: string, scopes: ReadonlySet<string> }

interface AccessTokenClaims { sub: string, scope: string, jti: string }

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Anyone may call the route. */
    public?: boolean
    /** The scopes an access token needs to call the route; an empty list: any valid token. */
    scopes?: string[]
  }
  interface FastifyInstance {
    accessTokens: {
      /** Signs an access token (RFC 9068). `expiresIn` is seconds. */
      issue: (user: { id: string, scopes: readonly string[] }) => { accessToken: string, expiresIn: number }
      /** The public keys, for others to verify with (RFC 7517). */
      jwks: { keys: Jwk[] }
    }
  }
}
declare module '@fastify/jwt' {
  interface FastifyJWT { payload: AccessTokenClaims, user: AuthenticatedUser }
}

const CLOCK_SKEW_MS = 5_000
const TOKEN_TYPE = 'at+jwt'
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Bearer tokens (RFC 6750, RFC 9068). Every route is closed unless its config
 * says `public`; `scopes` there feeds the guard and the OpenAPI document alike.
 */
async function auth (fastify: FastifyInstance) {
  const { config } = fastify
  const keys = loadKeys(config.JWT_PRIVATE_KEY ?? developmentKey(config.DATA_DIR))
  const [signing] = keys
  if (!signing) throw new Error('JWT_PRIVATE_KEY holds no key')
  const byId = new Map(keys.map(key => [key.kid, key.publicPem]))

  await fastify.register(jwt, {
    secret: {
      private: signing.privatePem,
      public: (async (_request: FastifyRequest, { header }: { header?: { kid?: unknown } }) => {
        const key = byId.get(String(header?.kid))
        if (!key) throw unauthorized('The access token was signed with an unknown key.', 'invalid_token')
        return key
      }) as unknown as Secret
    },
    decode: { complete: true },
    sign: { algorithm: signing.algorithm, kid: signing.kid, header: { typ: TOKEN_TYPE }, iss: config.JWT_ISSUER, aud: config.JWT_AUDIENCE, expiresIn: `${config.ACCESS_TOKEN_TTL}ms` } as object,
    verify: {
      algorithms: [...new Set(keys.map(key => key.algorithm))],
      allowedIss: config.JWT_ISSUER,
      allowedAud: config.JWT_AUDIENCE,
      checkTyp: TOKEN_TYPE,
      requiredClaims: ['iss', 'aud', 'sub', 'exp', 'iat', 'jti', 'scope'],
      clockTolerance: CLOCK_SKEW_MS,
      cache: true
    } as object,
    formatUser: ({ sub, scope }) => ({ id: sub, scopes: new Set(scope.split(' ')) })
  })

  fastify.decorate('accessTokens', {
    issue: ({ id, scopes }: { id: string, scopes: readonly string[] }) => ({
      accessToken: fastify.jwt.sign({ sub: id, scope: scopes.join(' '), jti: randomUUID() }),
      expiresIn: Math.floor(config.ACCESS_TOKEN_TTL / 1000)
    }),
    jwks: { keys: keys.map(key => key.jwk) }
  })

  const routes: RouteOptions[] = []
  fastify.addHook('onRoute', route => {
    if (route.method === 'OPTIONS') return
    routes.push(route)
    route.preParsing = [guard(route), ...[route.preParsing ?? []].flat()]
    if (route.config?.public) {
      route.schema = { ...route.schema, security: [] }
    } else {
      fastify.declareProblems(route, 401, 403)
      route.schema = { ...route.schema, security: [{ accessToken: route.config?.scopes ?? [] }] }
    }
  })
  fastify.addHook('onReady', async () => {
    const open = routes.filter(({ config }) => config?.public !== true && config?.scopes === undefined)
    if (open.length > 0) throw new Error(`say who may call: config needs public or scopes for ${open.map(({ method, url }) => `${String(method)} ${url}`).join(', ')}`)
  })
}

/** Lets a request through when the route is public or its token is valid and has the scopes. */
function guard (route: RouteOptions) {
  // Read at the first request: plugins in an inner scope may still open their own routes.
  let declared: { isPublic: boolean, scopes: string[] } | undefined
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    declared ??= { isPublic: route.config?.public === true, scopes: route.config?.scopes ?? [] }
    if (declared.isPublic) return
    await authenticate(request, reply)
    const { scopes } = request.user
    if (declared.scopes.every(scope => scopes.has(scope))) return
    const needed = declared.scopes.join(' ')
    reply.header('www-authenticate', `Bearer error="insufficient_scope", scope="${needed}"`)
    throw Object.assign(new Error(`This needs the scope ${needed}.`), { statusCode: 403 })
  }
}

async function authenticate (request: FastifyRequest, reply: FastifyReply): Promise<void> {
  try {
    if (!request.headers.authorization) throw unauthorized('Send an access token: Authorization: Bearer <token>.')
    await request.jwtVerify()
    if (!UUID.test(request.user.id)) throw unauthorized('The access token names no user of this service.')
  } catch (error) {
    const { statusCode, message, bearerError = statusCode === 400 ? 'invalid_request' : 'invalid_token' } = error as Unauthorized
    reply.header('www-authenticate', request.headers.authorization ? `Bearer error="${bearerError}"` : 'Bearer')
    throw unauthorized(message)
  }
}

interface Unauthorized extends Error { statusCode: number, bearerError?: string }

function unauthorized (message: string, bearerError?: string): Unauthorized {
  return Object.assign(new Error(message), { statusCode: 401, ...bearerError ? { bearerError } : {} })
}

export default fp(auth, { name: 'auth', dependencies: ['config', 'errors'] })

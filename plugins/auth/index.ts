import type { FastifyInstance, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { guard } from './guard.ts'
import { issuer, type AccessTokens } from './issuer.ts'
import { developmentKey, loadKeys } from './keys.ts'
import { remoteKeys } from './remote-keys.ts'
import { tokenReader, type AuthenticatedUser, type Expected, type TokenReader } from './tokens.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Anyone may call the route. */
    public?: boolean
    /** The scopes an access token needs to call the route; an empty list: any valid token. */
    scopes?: string[]
    /** Who calls, where a request without an Authorization header may say so in a way of the route's own; undefined: it does not. */
    authenticate?: (request: FastifyRequest) => Promise<AuthenticatedUser | undefined>
  }
  interface FastifyInstance {
    /** Issues access tokens. Not there (`hasDecorator`) when another issuer does: JWT_JWKS_URL. */
    accessTokens: AccessTokens
    /** Who the value of an Authorization header stands for, where it came another way than as one. Throws or rejects with a Refusal. */
    readToken: TokenReader
  }
  interface FastifyRequest {
    /** Who calls; only where the route is not public. */
    user: AuthenticatedUser
  }
}

export interface AuthOptions {
  /** Every scope that a token may have; a route that asks for another stops the start. Without the list they are not checked. */
  scopes?: readonly string[]
}

/**
 * Bearer tokens (RFC 6750, RFC 9068). Every route is closed unless its config
 * says `public`; `scopes` there feeds the guard and the OpenAPI document alike.
 */
async function auth (fastify: FastifyInstance, { scopes: known }: AuthOptions) {
  const { config } = fastify
  const expected = { issuer: config.JWT_ISSUER, audience: config.JWT_AUDIENCE }
  const readToken = config.JWT_JWKS_URL === undefined ? ownTokens(fastify, expected) : foreignTokens(fastify, config.JWT_JWKS_URL, expected)
  fastify.decorate('readToken', readToken)
  fastify.decorateRequest('user', null as unknown as AuthenticatedUser)

  const routes: RouteOptions[] = []
  fastify.addHook('onRoute', route => {
    if (route.method === 'OPTIONS') return
    routes.push(route)
    route.preParsing = [guard(route, readToken), ...[route.preParsing ?? []].flat()]
    if (route.config?.public) {
      route.schema = { ...route.schema, security: [] }
    } else {
      fastify.declareProblems(route, 401, 403)
      route.schema = { ...route.schema, security: [{ accessToken: route.config?.scopes ?? [] }] }
    }
  })
  fastify.addHook('onReady', async () => {
    const open = routes.filter(({ config }) => config?.public !== true && config?.scopes === undefined)
    if (open.length > 0) throw new Error(`say who may call: config needs public or scopes for ${open.map(nameOf).join(', ')}`)
    const unknown = routes.flatMap(route => known ? (route.config?.scopes ?? []).filter(scope => !known.includes(scope)).map(scope => `${scope} (${nameOf(route)})`) : [])
    if (unknown.length > 0) throw new Error(`no role has the scope ${unknown.join(', ')}: nobody could call it`)
  })
}

const nameOf = ({ method, url }: RouteOptions) => `${String(method)} ${url}`

/** This service issues the tokens that it takes. */
function ownTokens (fastify: FastifyInstance, expected: Expected): TokenReader {
  const { JWT_PRIVATE_KEY, DATA_DIR, ACCESS_TOKEN_TTL } = fastify.config
  const keys = loadKeys(JWT_PRIVATE_KEY ?? developmentKey(DATA_DIR))
  fastify.decorate('accessTokens', issuer(keys, expected, ACCESS_TOKEN_TTL))
  const byId = new Map(keys.map(key => [key.kid, key]))
  return tokenReader({ find: kid => byId.get(kid) }, expected)
}

/** Another issuer does: its keys come from `url`, and without them the service is not ready. */
function foreignTokens (fastify: FastifyInstance, url: string, expected: Expected): TokenReader {
  const keys = remoteKeys(url, { log: fastify.log, onChange: () => readToken.forget() })
  const readToken = tokenReader(keys, expected)
  fastify.addHook('onReady', async () => {
    // Not awaited: an issuer that is away doesn't hold the start.
    void keys.load()
    if (fastify.hasDecorator('addHealthCheck')) fastify.addHealthCheck('token-keys', async () => ({ ok: await keys.load(), detail: 'the keys of the token issuer (JWT_JWKS_URL) cannot be had' }))
  })
  fastify.addHook('onClose', async () => keys.close())
  return readToken
}

export type { AuthenticatedUser } from './tokens.ts'
export default fp(auth, { name: 'auth', dependencies: ['config', 'errors'] })

import type { FastifyContextConfig, FastifyReply, RouteOptions, preParsingHookHandler } from 'fastify'
import { authorizationOf, missingToken, Refusal } from './bearer.ts'
import type { AuthenticatedUser, TokenReader } from './tokens.ts'

/**
 * Lets a request through when the route is public or its token is valid and has the scopes.
 * It waits for nothing unless a key has to be fetched.
 */
export function guard (route: RouteOptions, readToken: TokenReader): preParsingHookHandler {
  // Read at the first request: plugins in an inner scope may still open their own routes.
  let declared: { isPublic: boolean, scopes: string[], authenticate: FastifyContextConfig['authenticate'] } | undefined
  return (request, reply, _payload, done) => {
    const { isPublic, scopes, authenticate } = declared ??= { isPublic: route.config?.public === true, scopes: route.config?.scopes ?? [], authenticate: route.config?.authenticate }
    if (isPublic) return done()
    const admit = (user: AuthenticatedUser) => {
      request.user = user
      for (const scope of scopes) if (!user.scopes.has(scope)) return done(lacking(scopes, reply))
      done()
    }
    const refuse = (error: unknown) => {
      if (!(error instanceof Refusal)) return done(error as Error)
      if (error.statusCode === 503) return void unavailable(error, reply)
      reply.header('www-authenticate', error.bearerError === undefined ? 'Bearer' : `Bearer error="${error.bearerError}"`)
      done(error)
    }
    if (authenticate !== undefined && request.headers.authorization === undefined) {
      return void authenticate(request).then(user => user === undefined ? refuse(missingToken()) : admit(user), refuse)
    }
    let user
    try {
      user = readToken(authorizationOf(request.raw))
    } catch (error) {
      return refuse(error)
    }
    if (user instanceof Promise) user.then(admit, refuse)
    else admit(user)
  }
}

function lacking (scopes: string[], reply: FastifyReply): Error {
  const needed = scopes.join(' ')
  reply.header('www-authenticate', `Bearer error="insufficient_scope", scope="${needed}"`)
  return Object.assign(new Error(`This needs the scope ${needed}.`), { statusCode: 403 })
}

function unavailable ({ message, retryAfter }: Refusal, reply: FastifyReply): FastifyReply {
  return reply.header('retry-after', retryAfter ?? 1).problem(503, message)
}

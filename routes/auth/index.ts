import { channel } from 'node:diagnostics_channel'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { scopesOf } from '../../services/scopes.ts'
import { logIn, logOut, refresh, type Session } from '../../services/sessions.ts'
import { register } from '../../services/users.ts'
import { locationHeader } from '../http/headers.ts'
import { noContent, problem, ref } from '../schemas.ts'
import { User } from '../users/schemas.ts'
import { Credentials, RefreshToken, Registration, TokenPair } from './schemas.ts'

/** Nothing here is longer: strangers may send it. */
const bodyLimit = 16 * 1024
const consumes = ['application/json', 'application/x-www-form-urlencoded']

/** Is told of each attempt `{ outcome: 'done' | 'refused' | 'throttled' | 'busy' | 'error' }`. */
const logins = channel('keel:login')
const outcomes: Record<string, string> = { INVALID_CREDENTIALS: 'refused', TOO_MANY_ATTEMPTS: 'throttled', TOO_BUSY: 'busy' }

const auth: FastifyPluginAsyncTypebox = async fastify => {
  // Another issuer signs people in: JWT_JWKS_URL.
  if (!fastify.hasDecorator('accessTokens')) return
  for (const schema of [User, Registration, Credentials, RefreshToken, TokenPair]) fastify.addSchema(schema)
  const { prisma, config } = fastify
  const policy = { ttl: config.REFRESH_TOKEN_TTL, grace: config.REFRESH_GRACE, maxFailures: config.LOGIN_FAILURES_MAX, failuresWindow: config.LOGIN_FAILURES_WINDOW }
  // Guessing is slow: these routes count on their own, each address to each route.
  const guessable = { public: true, rateLimit: { max: config.AUTH_RATE_LIMIT_MAX } }

  fastify.post('/register', {
    bodyLimit,
    config: guessable,
    schema: {
      operationId: 'register',
      summary: 'Create an account',
      description: 'The e-mail address is stored in lower case and can have one account. Sign in with POST /auth/login.',
      tags: ['auth'],
      consumes,
      body: ref(Registration),
      response: { 201: ref(User, { description: 'The new account', headers: locationHeader }), 409: problem }
    }
  }, async (request, reply) => {
    const user = await register(prisma, { ...request.body, signal: request.deadline.signal })
    return reply.code(201).header('location', '/users/me').send(user)
  })

  fastify.post('/login', {
    bodyLimit,
    config: guessable,
    schema: {
      operationId: 'login',
      summary: 'Sign in',
      description: 'Starts a session. An unknown e-mail address and a wrong password are answered alike, and after too many of either the account takes none for some minutes: 429.',
      tags: ['auth'],
      consumes,
      body: ref(Credentials),
      response: { 200: ref(TokenPair, { description: 'The tokens of a new session' }), 401: problem }
    }
  }, async (request, reply) => tokens(reply, await counted(logIn(prisma, { ...request.body, client: request.ip, signal: request.deadline.signal }, policy))))

  fastify.post('/refresh', {
    bodyLimit,
    config: guessable,
    schema: {
      operationId: 'refreshSession',
      summary: 'Exchange a refresh token for new tokens',
      description: 'A refresh token is good for one use. One that comes again later ends its session: it may have been stolen.',
      tags: ['auth'],
      consumes,
      body: ref(RefreshToken),
      response: { 200: ref(TokenPair, { description: 'The next tokens of the session' }), 401: problem }
    }
  }, async (request, reply) => tokens(reply, await refresh(prisma, request.body.refreshToken, policy)))

  fastify.post('/logout', {
    bodyLimit,
    config: guessable,
    schema: {
      operationId: 'logout',
      summary: 'End a session',
      description: 'Access tokens that were issued before stay valid until they expire.',
      tags: ['auth'],
      consumes,
      body: ref(RefreshToken),
      response: { 204: noContent('The session has ended, if there was one') }
    }
  }, async (request, reply) => {
    await logOut(prisma, request.body.refreshToken)
    return reply.code(204).send()
  })

  function tokens (reply: FastifyReply, { id, user, refreshToken }: Session) {
    const { accessToken, expiresIn } = fastify.accessTokens.issue({ id: user.id, scopes: scopesOf(user.role), sessionId: id })
    reply.header('cache-control', 'no-store')
    return { accessToken, tokenType: 'Bearer', expiresIn, refreshToken }
  }
}

async function counted (login: Promise<Session>): Promise<Session> {
  try {
    const session = await login
    logins.publish({ outcome: 'done' })
    return session
  } catch (error) {
    logins.publish({ outcome: outcomes[(error as { code?: string }).code ?? ''] ?? 'error' })
    throw error
  }
}

export default auth

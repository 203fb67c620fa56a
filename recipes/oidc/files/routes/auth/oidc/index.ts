import { randomBytes } from 'node:crypto'
import { channel } from 'node:diagnostics_channel'
import cookie from '@fastify/cookie'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { scopesOf } from '../../../services/scopes.ts'
import { SIGN_IN_MS, beginSignIn, exchangeCode, finishSignIn } from '../../../services/sign-in.ts'
import { Email, noContent, problem, ref } from '../../schemas.ts'
import { TokenPair } from '../schemas.ts'
import { returnUrl } from './return-to.ts'
import { SignInCode, callbackQuery, loginQuery, redirectHeader } from './schemas.ts'

const tags = ['auth']
const BROWSER = /^[\w-]{43}$/
/** Is told of each attempt, as by the sign-in with a password. */
const logins = channel('keel:login')

const oidc: FastifyPluginAsyncTypebox = async fastify => {
  // Off without OIDC_ISSUER.
  if (!fastify.hasDecorator('oidc') || !fastify.hasDecorator('accessTokens')) return
  for (const schema of [TokenPair, SignInCode]) fastify.addSchema(schema)
  await fastify.register(cookie)
  const { prisma, config, oidc: issuer } = fastify
  const guessable = { public: true, rateLimit: { max: config.AUTH_RATE_LIMIT_MAX } }
  // The prefix has browsers take it from this very host alone; without TLS, in development, they take none that has it.
  const isSecure = issuer.redirectUri.protocol === 'https:'
  const cookieName = isSecure ? '__Host-sign-in' : 'sign-in'
  const browserOf = ({ cookies: { [cookieName]: value = '' } }: FastifyRequest) => BROWSER.test(value) ? value : undefined

  fastify.get('/login', {
    config: guessable,
    schema: {
      operationId: 'beginSignIn',
      summary: 'Sign in with the issuer',
      description: 'For a browser to go to. It comes back to `returnTo`, with `#code=…` for POST /auth/oidc/token, or `#error=…` with the code of a problem.',
      tags,
      querystring: loginQuery,
      response: { 302: noContent('To the issuer', { headers: redirectHeader }) }
    }
  }, async (request, reply) => {
    const returnTo = returnUrl(request.query.returnTo, issuer.redirectUri, config.ALLOWED_ORIGINS)
    // The same for all sign-ins of a browser, so that those in several tabs do not get in each other's way.
    const browser = browserOf(request) ?? randomBytes(32).toString('base64url')
    const url = await beginSignIn(prisma, issuer, { browser, returnTo, challenge: request.query.challenge })
    reply.setCookie(cookieName, browser, { path: '/', httpOnly: true, secure: isSecure, sameSite: 'lax', maxAge: SIGN_IN_MS / 1000 })
    return reply.header('cache-control', 'no-store').redirect(url.href)
  })

  fastify.get('/callback', {
    config: guessable,
    schema: {
      operationId: 'finishSignIn',
      summary: 'Where the issuer sends people back to',
      description: 'For the browser alone. Each sign-in ends once, and in the browser that it began in.',
      tags,
      querystring: callbackQuery,
      response: { 302: noContent('To the page that the sign-in began on', { headers: redirectHeader }) }
    }
  }, async (request, reply) => {
    // A HEAD has no page to go to, and is not to spend what a GET is to have.
    const browser = request.method === 'HEAD' ? undefined : browserOf(request)
    const search = new URL(request.url, issuer.redirectUri).search
    // As with a registration; among other things no two addresses become one by their case.
    const policy = { linksByEmail: config.OIDC_LINK_ACCOUNTS === 'verified-email', isAddress: request.compileValidationSchema(Email) }
    const url = await finishSignIn(prisma, issuer, { search, browser, signal: request.deadline.signal, log: request.log }, policy)
    if (url.hash.startsWith('#error=')) logins.publish({ outcome: 'refused' })
    return reply.header('cache-control', 'no-store').redirect(url.href)
  })

  fastify.post('/token', {
    bodyLimit: 16 * 1024,
    config: guessable,
    schema: {
      operationId: 'exchangeSignInCode',
      summary: 'Exchange the code of a sign-in for tokens',
      description: 'Within a minute, once. Starts a session, as POST /auth/login does.',
      tags,
      body: ref(SignInCode),
      response: { 200: ref(TokenPair, { description: 'The tokens of a new session' }), 401: problem }
    }
  }, async (request, reply) => {
    const { id, user, refreshToken } = await exchangeCode(prisma, request.body, config.REFRESH_TOKEN_TTL)
    logins.publish({ outcome: 'done' })
    const { accessToken, expiresIn } = fastify.accessTokens.issue({ id: user.id, scopes: scopesOf(user.role), sessionId: id })
    reply.header('cache-control', 'no-store')
    return { accessToken, tokenType: 'Bearer', expiresIn, refreshToken }
  })
}

export default oidc

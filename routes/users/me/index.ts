import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { changePassword } from '../../../services/credentials.ts'
import { endSession, listSessions } from '../../../services/sessions.ts'
import { linkHeader } from '../../http/headers.ts'
import { linkNext } from '../../http/pages.ts'
import { idParams, noContent, pageQuery, problem, ref } from '../../schemas.ts'
import { PasswordChange, Session, SessionPage } from './schemas.ts'

const me: FastifyPluginAsyncTypebox = async fastify => {
  // Another issuer keeps the sessions and passwords: JWT_JWKS_URL.
  if (!fastify.hasDecorator('accessTokens')) return
  for (const schema of [Session, SessionPage, PasswordChange]) fastify.addSchema(schema)
  const { prisma, config } = fastify

  fastify.get('/sessions', {
    config: { scopes: [] },
    schema: {
      operationId: 'listOwnSessions',
      summary: 'List where one is signed in',
      description: 'The sessions that can still be refreshed, newest first.',
      tags: ['users'],
      querystring: pageQuery({}),
      response: { 200: ref(SessionPage, { description: 'A page of sessions', headers: linkHeader }) }
    }
  }, async (request, reply) => {
    const { id, sessionId } = request.user
    const { items, nextCursor } = await listSessions(prisma, id, request.query)
    return linkNext(request, reply, { items: items.map(session => ({ ...session, current: session.id === sessionId })), nextCursor })
  })

  fastify.delete('/sessions/:id', {
    config: { scopes: [] },
    schema: {
      operationId: 'endOwnSession',
      summary: 'End one of one\'s sessions',
      description: 'It cannot be refreshed any more. Access tokens that it has stay valid until they expire.',
      tags: ['users'],
      params: idParams('Id of the session'),
      response: { 204: noContent('The session has ended'), 404: problem }
    }
  }, async (request, reply) => {
    await endSession(prisma, request.user.id, request.params.id)
    return reply.code(204).send()
  })

  fastify.put('/password', {
    config: { scopes: [], rateLimit: { max: config.AUTH_RATE_LIMIT_MAX } },
    schema: {
      operationId: 'changeOwnPassword',
      summary: 'Change one\'s own password',
      description: 'Ends all sessions of the account, this one too: sign in again. Wrong current passwords count as those at sign-in do.',
      tags: ['users'],
      body: ref(PasswordChange),
      response: { 204: noContent('The password has changed and all sessions have ended'), 404: problem }
    }
  }, async (request, reply) => {
    const policy = { maxFailures: config.LOGIN_FAILURES_MAX, failuresWindow: config.LOGIN_FAILURES_WINDOW }
    await changePassword(prisma, { userId: request.user.id, client: request.ip, ...request.body, signal: request.deadline.signal }, policy)
    return reply.code(204).send()
  })
}

export default me

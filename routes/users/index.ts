import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { findUser, listUsers, putUser, updateUser, userSorts } from '../../services/users.ts'
import { linkHeader, locationHeader } from '../http/headers.ts'
import { linkNext } from '../http/pages.ts'
import { Email, oneOf, pageQuery, problem, ref } from '../schemas.ts'
import { User, UserDetails, UserPage, UserPatch } from './schemas.ts'

const users: FastifyPluginAsyncTypebox = async fastify => {
  for (const schema of [User, UserPatch, UserPage]) fastify.addSchema(schema)
  const { prisma, config } = fastify

  fastify.get('/me', {
    config: { scopes: [] },
    schema: {
      operationId: 'getOwnUser',
      summary: 'Read one\'s own account',
      description: 'The account that the access token was issued for.',
      tags: ['users'],
      response: { 200: ref(User, { description: 'The account' }), 404: problem }
    }
  }, async request => await findUser(prisma, request.user.id))

  fastify.patch('/me', {
    config: { scopes: [] },
    schema: {
      operationId: 'updateOwnUser',
      summary: 'Change one\'s own account',
      description: 'Members that are left out stay as they are.',
      tags: ['users'],
      consumes: ['application/merge-patch+json', 'application/json'],
      body: ref(UserPatch),
      response: { 200: ref(User, { description: 'The changed account' }), 404: problem }
    }
  }, async request => await updateUser(prisma, request.user.id, request.body))

  // Whom another issuer signs in (JWT_JWKS_URL) has no account yet.
  if (!fastify.hasDecorator('accessTokens')) {
    fastify.addSchema(UserDetails)
    fastify.put('/me', {
      // It tells whether an address has an account: not to be asked of many.
      config: { scopes: [], rateLimit: { max: config.AUTH_RATE_LIMIT_MAX } },
      schema: {
        operationId: 'putOwnUser',
        summary: 'Make one\'s own account, or change it',
        description: 'The account gets the id that the access token names. Its e-mail address, which can have one account, is stored in lower case and is not verified.',
        tags: ['users'],
        body: ref(UserDetails),
        response: { 200: ref(User, { description: 'The changed account' }), 201: ref(User, { description: 'The new account', headers: locationHeader }), 409: problem }
      }
    }, async (request, reply) => {
      const { user, isNew } = await putUser(prisma, request.user.id, request.body)
      if (isNew) reply.code(201).header('location', '/users/me')
      return user
    })
  }

  fastify.get('', {
    config: { scopes: ['users:read'] },
    schema: {
      operationId: 'listUsers',
      summary: 'List the accounts',
      description: 'Oldest first unless `sort` says otherwise.',
      tags: ['users'],
      querystring: pageQuery({
        email: Type.Optional(Email),
        sort: Type.Optional(oneOf(userSorts, { default: 'createdAt', description: 'Field to sort by; `-` turns the order round' }))
      }),
      response: { 200: ref(UserPage, { description: 'A page of accounts', headers: linkHeader }) }
    }
  }, async (request, reply) => linkNext(request, reply, await listUsers(prisma, request.query)))
}

export default users

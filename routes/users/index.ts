import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { findUser, listUsers, updateUser, userSorts } from '../../services/users.ts'
import { linkHeader } from '../http/headers.ts'
import { linkNext } from '../http/pages.ts'
import { Email, oneOf, pageQuery, problem, ref } from '../schemas.ts'
import { User, UserPage, UserPatch } from './schemas.ts'

const users: FastifyPluginAsyncTypebox = async fastify => {
  for (const schema of [User, UserPatch, UserPage]) fastify.addSchema(schema)
  const { prisma } = fastify

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

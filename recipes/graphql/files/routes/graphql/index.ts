import { join } from 'node:path'
import type { FastifyPluginAsync } from 'fastify'
import { allScopes } from '../../services/scopes.ts'
import { byTicket } from '../http/ticket.ts'
import { upgradeTicket } from '../ws/ticket.ts'
import { contextOf } from './context.ts'
import { schemaOf } from './schema.ts'

/** What the routes offer, by GraphQL: the same services, behind the same guard. */
const graphql: FastifyPluginAsync = async fastify => {
  await fastify.serveGraphql({
    schema: schemaOf,
    scopes: allScopes,
    context: (call, isLasting) => contextOf(fastify, call, isLasting),
    persisted: join(import.meta.dirname, 'persisted.json'),
    byTicket: byTicket(fastify.prisma, upgradeTicket)
  })
}

export default graphql

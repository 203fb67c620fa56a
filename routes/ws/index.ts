import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { issueTicket } from '../../services/socket-tickets.ts'
import { locationHeader } from '../http/headers.ts'
import { byTicket } from '../http/ticket.ts'
import { Order, OrderItem } from '../orders/schemas.ts'
import { Money } from '../products/schemas.ts'
import { problem, ref } from '../schemas.ts'
import { Ticket } from './schemas.ts'
import { upgradeTicket } from './ticket.ts'
import { topicsOf } from './topics.ts'

const ws: FastifyPluginAsyncTypebox = async fastify => {
  for (const schema of [Money, OrderItem, Order, Ticket]) fastify.addSchema(schema)
  const { prisma, sockets } = fastify

  fastify.get('', {
    config: {
      scopes: [],
      topics: topicsOf(prisma),
      authenticate: byTicket(prisma, upgradeTicket)
    },
    schema: {
      operationId: 'openSocket',
      summary: 'Open a WebSocket and follow what happens to orders',
      description: 'A WebSocket (RFC 6455) with the subprotocol `keel.v1`; its messages are in `/asyncapi.json`. Send an access token in the Authorization header, or, as browsers can\'t, a ticket of `POST /ws/tickets`: as the subprotocol `ticket.<ticket>` beside `keel.v1`, or as `?ticket=`. Browsers may connect from the origins of ALLOWED_ORIGINS and from this one.',
      tags: ['events'],
      querystring: Type.Object({ ticket: Type.Optional(Ticket.properties.ticket) }, { additionalProperties: false }),
      response: { 101: Type.Unsafe<undefined>({ type: 'null', description: 'The WebSocket is open' }), 426: problem }
    }
  }, sockets.handler)

  fastify.post('/tickets', {
    config: { scopes: [] },
    schema: {
      operationId: 'createSocketTicket',
      summary: 'Get a ticket for a WebSocket or an event stream',
      description: 'A ticket opens one WebSocket or event stream in the name of whoever got it, within seconds: for clients that can\'t send a header when they connect, such as EventSource.',
      tags: ['events'],
      response: { 201: ref(Ticket, { description: 'The ticket', headers: locationHeader }) }
    }
  }, async (request, reply) => {
    const ticket = await issueTicket(prisma, request.user)
    return reply.code(201).headers({ location: '/ws', 'cache-control': 'no-store' }).send(ticket)
  })
}

export default ws

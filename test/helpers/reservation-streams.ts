// What clients follow of reservations (reservations.ts): an event stream, and the topics of a WebSocket.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Topic } from '../../plugins/websocket/index.ts'
import { eventsHeaders, eventsQuery, position } from '../../routes/http/events.ts'
import { byTicket } from '../../routes/http/ticket.ts'
import { Id, Timestamp, oneOf } from '../../routes/schemas.ts'
import { upgradeTicket } from '../../routes/ws/ticket.ts'
import { inTransaction } from '../../services/database.ts'
import { DomainError } from '../../services/errors.ts'
import { recordEvent } from '../../services/events.ts'

/** Where the WebSocket is. */
export const SOCKET = '/reservations/ws'

const uuid = '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
const event = Type.Object({
  id: position,
  type: oneOf(['reservation.made', 'reservation.returned']),
  at: Timestamp('When it happened'),
  reservationId: Id('The reservation that it happened to'),
  reservation: Type.Object({})
}, { $id: 'ReservationEvent', description: 'A change of a reservation', additionalProperties: false })

function topicsOf (prisma: FastifyInstance['prisma']): Topic[] {
  return [
    { name: 'reservations', description: 'One\'s own.', scopes: [], event, filter: ({ id }) => ({ topic: 'reservation', ownerId: id }) },
    { name: 'reservations.all', description: 'Those of everyone.', scopes: ['users:read'], event, filter: () => ({ topic: 'reservation' }) },
    {
      name: 'reservations/{id}',
      description: 'One of one\'s own.',
      parameters: { id: { pattern: uuid, description: 'Its id' } },
      scopes: [],
      event,
      filter: async ({ id: ownerId }, { id: subject = '' }) => {
        if (await prisma.event.findFirst({ where: { subject, ownerId } }) === null) throw new DomainError('NOT_FOUND', 'There is no such reservation.')
        return { topic: 'reservation', ownerId, subject }
      }
    }
  ]
}

const streams: FastifyPluginAsyncTypebox = async fastify => {
  const { prisma, sockets } = fastify

  fastify.get('/events', {
    config: { scopes: [], authenticate: byTicket(prisma) },
    schema: { hide: true, headers: eventsHeaders, querystring: eventsQuery, response: { 200: { content: { 'text/event-stream': { schema: {} } } } } }
  }, (request, reply) => {
    const { id, scopes } = request.user
    reply.sendEvents({ topic: 'reservation', ownerId: scopes.has('users:read') ? undefined : id, after: request.query.lastEventId })
  })

  fastify.get('/ws', {
    config: { scopes: [], topics: topicsOf(prisma), authenticate: byTicket(prisma, upgradeTicket) },
    schema: { hide: true }
  }, sockets.handler)
}

/** Gives the service GET /reservations/events (an admin gets those of everyone) and the WebSocket: an `extend` of `buildApp`. */
export function withReservationStreams (fastify: FastifyInstance): void {
  fastify.register(streams, { prefix: '/reservations' })
}

/** Events of one user, some in each transaction, each with so many characters. Gives their subjects. */
export async function recordReservations (app: FastifyInstance, ownerId: string, count = 1, size = 350): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID() as string)
  for (let n = 0; n < count; n += 50) {
    await inTransaction(app.prisma, async tx => {
      for (const id of ids.slice(n, n + 50)) await recordEvent(tx, { type: 'reservation.made', subject: id, ownerId, data: { reservationId: id, reservation: { note: 'x'.repeat(size) } } })
    })
  }
  return ids
}

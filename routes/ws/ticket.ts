import type { FastifyRequest } from 'fastify'
import { ticketOf } from '../http/ticket.ts'

const PREFIX = 'ticket.'

/**
 * The ticket that an upgrade comes with: among the subprotocols, or in the query. What is no
 * upgrade has none: a ticket is not spent on a request that can't use it.
 * @throws DomainError INVALID_TICKET when there are several
 */
export function upgradeTicket (request: FastifyRequest): string | undefined {
  if (!request.ws) return undefined
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map(protocol => protocol.trim())
  return ticketOf(request, offered.filter(protocol => protocol.startsWith(PREFIX)).map(protocol => protocol.slice(PREFIX.length)))
}

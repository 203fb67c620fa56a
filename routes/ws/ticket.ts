import type { FastifyRequest } from 'fastify'
import { DomainError } from '../../services/errors.ts'

const PREFIX = 'ticket.'

/**
 * The ticket that an upgrade comes with: among the subprotocols, or in the query. What is no
 * upgrade has none: a ticket is not spent on a request that can't use it.
 * @throws DomainError INVALID_TICKET when there are several
 */
export function ticketOf ({ ws, headers, query }: FastifyRequest): string | undefined {
  if (!ws) return undefined
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map(protocol => protocol.trim())
  const tickets = [
    ...offered.filter(protocol => protocol.startsWith(PREFIX)).map(protocol => protocol.slice(PREFIX.length)),
    ...[(query as { ticket?: string | string[] }).ticket ?? []].flat()
  ]
  if (tickets.length > 1) throw new DomainError('INVALID_TICKET', 'Send one ticket.')
  return tickets[0]
}

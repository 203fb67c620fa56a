import type { FastifyRequest } from 'fastify'
import type { Database } from '../../services/database.ts'
import { DomainError } from '../../services/errors.ts'
import { redeemTicket, type TicketHolder } from '../../services/socket-tickets.ts'

/**
 * The ticket in the query of a request, which nobody has validated yet.
 * @param others tickets that came another way
 * @throws DomainError INVALID_TICKET when there are several
 */
export function ticketOf ({ query }: FastifyRequest, others: string[] = []): string | undefined {
  const tickets = [...others, ...[(query as { ticket?: string | string[] }).ticket ?? []].flat()]
  if (tickets.length > 1) throw new DomainError('INVALID_TICKET', 'Send one ticket.')
  return tickets[0]
}

/**
 * How a route takes tickets where there is no access token: the `authenticate` of its config.
 * @param find the ticket of a request, if it has one
 */
export function byTicket (db: Database, find: (request: FastifyRequest) => string | undefined = ticketOf): (request: FastifyRequest) => Promise<TicketHolder | undefined> {
  return async request => {
    // It gets nothing that a ticket could be spent on.
    if (request.method === 'HEAD') return undefined
    const ticket = find(request)
    return ticket === undefined ? undefined : await redeemTicket(db, ticket)
  }
}

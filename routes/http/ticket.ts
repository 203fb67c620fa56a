import type { FastifyRequest } from 'fastify'
import { DomainError } from '../../services/errors.ts'

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

// A domain of the tests' own, for what the kit does in any: a reservation takes pieces of a product out of stock in one
// transaction with an event and a job, once a key. A started service has it when this file is copied to
// routes/reservations/index.ts of its checkout: from there the imports lead to the same files.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { idempotencyHeaders, markReplay, repeatable } from '../../routes/http/idempotency.ts'
import { Id } from '../../routes/schemas.ts'
import { changeProduct } from '../../services/dialect.ts'
import { DomainError } from '../../services/errors.ts'
import { recordEvent } from '../../services/events.ts'
import { once } from '../../services/idempotency.ts'

const Amount = Type.Object({ productId: Id('What is reserved'), quantity: Type.Integer({ minimum: 1, maximum: 1000 }) }, { additionalProperties: false })
const Reservation = Type.Object({ id: Id('Of the reservation'), productId: Id('What is reserved'), quantity: Type.Integer(), left: Type.Integer({ description: 'In stock after it' }) })

const operations = [
  { path: '', operation: 'reserve', type: 'reservation.made', direction: -1 },
  { path: '/returns', operation: 'giveBack', type: 'reservation.returned', direction: 1 }
]

const reservations: FastifyPluginAsyncTypebox = async fastify => {
  const { prisma, config } = fastify

  fastify.jobs.define({ name: 'note-reservation', payload: Type.Object({ reservationId: Type.String() }), handler: async () => {} })

  for (const { path, operation, type, direction } of operations) {
    fastify.post(path, {
      config: { scopes: [] },
      schema: { hide: true, headers: idempotencyHeaders, body: Amount, response: { 201: Reservation } }
    }, async (request, reply) => {
      const { user, origin, body: { productId, quantity } } = request
      const jobs = await fastify.jobs.for(request)
      const result = await once(prisma, repeatable(request, operation, config.IDEMPOTENCY_TTL), async tx => {
        const product = await changeProduct(tx, { id: productId, ...direction < 0 ? { stock: { gte: quantity } } : {} }, { stock: { increment: direction * quantity } })
        if (product === undefined) throw new DomainError('NOT_FOUND', 'There is not so much of it.')
        const reservation = { id: randomUUID(), productId, quantity, left: product.stock }
        await recordEvent(tx, { type, subject: reservation.id, ownerId: user.id, data: { reservationId: reservation.id, reservation }, origin })
        await jobs.send('note-reservation', { reservationId: reservation.id }, { tx })
        return reservation
      }, request.deadline)
      const reservation = markReplay(reply, result)
      return reply.code(201).header('location', `/reservations/${reservation.id}`).send(reservation)
    })
  }
}

/** Gives the service POST /reservations and POST /reservations/returns: an `extend` of `buildApp`. */
export function withReservations (fastify: FastifyInstance): void {
  fastify.register(reservations, { prefix: '/reservations' })
}

export default reservations

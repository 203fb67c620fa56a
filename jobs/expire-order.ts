import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { expireOrder } from '../services/order-states.ts'

/** Cancels an order that is still unpaid ORDER_TTL after it was placed; its products are back in stock. */
const module: FastifyPluginAsync = async fastify => {
  const { prisma } = fastify

  fastify.jobs.define({
    name: 'expire-order',
    payload: Type.Object({ orderId: Type.String({ format: 'uuid' }) }, { additionalProperties: false }),
    retry: { limit: 10, delaySeconds: 2 },
    concurrency: 10,
    batch: 10,
    handler: async ({ payload, log }) => {
      const isExpired = await expireOrder(prisma, payload.orderId)
      if (isExpired) log.info({ orderId: payload.orderId }, 'an unpaid order was cancelled')
    }
  })
}

export default module

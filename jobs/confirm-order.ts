import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { confirmOrder } from '../services/order-mails.ts'

/** Mails a confirmation to who placed an order. */
const module: FastifyPluginAsync = async fastify => {
  const { prisma, mailer } = fastify

  fastify.jobs.define({
    name: 'confirm-order',
    payload: Type.Object({ orderId: Type.String({ format: 'uuid' }) }, { additionalProperties: false }),
    // A mail server may be away for hours.
    retry: { limit: 12, delaySeconds: 2, maxDelaySeconds: 3600 },
    concurrency: 10,
    batch: 5,
    // A slow server is waited for: what gives up first sends the mail again.
    timeoutSeconds: mailer.limitSeconds + 30,
    handler: async ({ id, payload, signal, log }) => {
      const outcome = await confirmOrder({ prisma, mailer, id, signal }, payload.orderId)
      if (outcome !== 'sent') log.info({ orderId: payload.orderId, outcome }, 'no confirmation went out')
    }
  })
}

export default module

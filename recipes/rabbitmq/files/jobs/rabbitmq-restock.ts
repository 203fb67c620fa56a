import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { restock } from '../services/restock.ts'

/** What the warehouse got in is in stock again: messages of another service, on RabbitMQ. */
const module: FastifyPluginAsync = async fastify => {
  fastify.rabbitmq.consume({
    name: 'restock',
    exchange: 'warehouse',
    keys: ['restocked'],
    // For a first try; in earnest the warehouse makes its exchange itself.
    create: 'topic',
    payload: Type.Object({
      sku: Type.String({ minLength: 1, maxLength: 64 }),
      quantity: Type.Integer({ minimum: 1, maximum: 1_000_000 })
    }),
    handler: async ({ payload, log }, tx) => {
      await restock(tx, payload)
      log.info(payload, 'restocked')
    }
  })
}

export default module

import type { FastifyPluginAsync } from 'fastify'
import { recordEvent } from '../services/events.ts'
import { reviewEventOf } from '../services/review-events.ts'
import { reviews } from '../services/reviews.ts'

/** What happens to reviews is in the log of the domain events, whoever wrote it to MongoDB: for streams, webhooks and consumers. */
const module: FastifyPluginAsync = async fastify => {
  fastify.mongodb.follow({
    name: 'review-events',
    collection: reviews.name,
    handler: async ({ kind, id, document }, tx) => {
      await recordEvent(tx, reviewEventOf(kind, String(id), document))
    }
  })
}

export default module

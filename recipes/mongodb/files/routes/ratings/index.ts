import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ratingOf } from '../../services/reviews.ts'
import { Rating } from '../reviews/schemas.ts'
import { idParams, ref } from '../schemas.ts'

const ratings: FastifyPluginAsyncTypebox = async fastify => {
  fastify.addSchema(Rating)

  fastify.get('/:id', {
    config: { public: true },
    schema: {
      operationId: 'getRating',
      summary: 'What the reviews of a product come to',
      description: 'Of a product without reviews, or one that is not there, `count` is 0.',
      tags: ['reviews'],
      params: idParams('The id of the product'),
      response: { 200: ref(Rating, { description: 'The rating' }) }
    }
  }, async request => await ratingOf(fastify.mongodb, request.params.id))
}

export default ratings

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { findItem } from '../../services/catalogue.ts'
import { idParams, problem, ref } from '../schemas.ts'
import { CatalogueItem } from './schemas.ts'

const MINUTE = 60_000

const catalogue: FastifyPluginAsyncTypebox = async fastify => {
  fastify.addSchema(CatalogueItem)
  const items = fastify.cache.define({ name: 'catalogue', value: CatalogueItem, ttl: 10 * MINUTE, staleFor: 10 * MINUTE, noneTtl: 5_000 })

  fastify.get('/:id', {
    config: { public: true },
    schema: {
      operationId: 'getCatalogueItem',
      summary: 'Read what a shop window shows of a product',
      description: 'From a cache. A change of the product is seen at once.',
      tags: ['products'],
      params: idParams('The id of the product'),
      response: { 200: ref(CatalogueItem, { description: 'The item' }), 404: problem }
    }
  }, async request => await findItem(fastify.prisma, items, request.params.id))
}

export default catalogue

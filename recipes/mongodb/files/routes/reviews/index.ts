import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { createReview, deleteReview, findReview, listReviews, reviewSorts, updateReview } from '../../services/reviews.ts'
import { etagOf, ifMatchHeaders, ifNoneMatchHeaders, isFresh, versionsOf } from '../http/conditional.ts'
import { etagHeader, linkHeader, locationHeader } from '../http/headers.ts'
import { linkNext } from '../http/pages.ts'
import { Id, Text, idParams, noContent, oneOf, pageQuery, problem, ref } from '../schemas.ts'
import { NewReview, Review, ReviewPage, ReviewPatch } from './schemas.ts'

const tags = ['reviews']
const params = idParams('The id of the review')
// Any valid token will do: put a scope here if it shall not, and into services/scopes.ts.
const config = { scopes: [] }
// A strong ETag stands for these very bytes: a compressed answer would need another.
const uncompressed: object = { compress: false }

const reviews: FastifyPluginAsyncTypebox = async fastify => {
  for (const schema of [Review, NewReview, ReviewPatch, ReviewPage]) fastify.addSchema(schema)
  const { mongodb, prisma } = fastify

  fastify.get('', {
    config: { public: true },
    schema: {
      operationId: 'listReviews',
      summary: 'List or search the reviews',
      description: 'Newest first unless `sort` says otherwise.',
      tags,
      querystring: pageQuery({
        productId: Type.Optional(Id('Of this product')),
        authorId: Type.Optional(Id('By this user')),
        rating: Type.Optional(Type.Integer({ minimum: 1, maximum: 5, format: 'int32', description: 'With this rating' })),
        q: Type.Optional(Text(100, 'Text in title or text, whatever its case')),
        sort: Type.Optional(oneOf(reviewSorts, { default: '-createdAt', description: 'Field to sort by; `-` turns the order round' }))
      }),
      response: { 200: ref(ReviewPage, { description: 'A page of reviews', headers: linkHeader }) }
    }
  }, async (request, reply) => linkNext(request, reply, await listReviews(mongodb, request.query)))

  fastify.get('/:id', {
    ...uncompressed,
    config: { public: true },
    schema: {
      operationId: 'getReview',
      summary: 'Read a review',
      description: 'The ETag grows with every change.',
      tags,
      params,
      headers: ifNoneMatchHeaders,
      response: {
        200: ref(Review, { description: 'The review', headers: etagHeader }),
        304: noContent('The client has the current version', { headers: etagHeader }),
        404: problem
      }
    }
  }, async (request, reply) => {
    const review = await findReview(mongodb, request.params.id)
    const etag = etagOf(review)
    // Caches may keep it but must ask whether it is current.
    reply.header('etag', etag).header('cache-control', 'no-cache')
    return isFresh(request.headers, etag) ? reply.code(304).send() : review
  })

  fastify.post('', {
    ...uncompressed,
    config,
    schema: {
      operationId: 'createReview',
      summary: 'Review a product',
      description: 'A user has one review of a product.',
      tags,
      body: ref(NewReview),
      response: { 201: ref(Review, { description: 'The new review', headers: { ...locationHeader, ...etagHeader } }), 409: problem, 422: problem }
    }
  }, async (request, reply) => {
    const review = await createReview(mongodb, prisma, request.user, request.body)
    return reply.code(201).header('location', `/reviews/${review.id}`).header('etag', etagOf(review)).send(review)
  })

  fastify.patch('/:id', {
    ...uncompressed,
    config,
    schema: {
      operationId: 'updateReview',
      summary: 'Change one\'s own review',
      description: 'Members that are left out stay as they are.',
      tags,
      params,
      headers: ifMatchHeaders,
      consumes: ['application/merge-patch+json', 'application/json'],
      body: ref(ReviewPatch),
      response: { 200: ref(Review, { description: 'The changed review', headers: etagHeader }), 403: problem, 404: problem, 412: problem, 428: problem }
    }
  }, async (request, reply) => {
    const review = await updateReview(mongodb, request.user, request.params.id, versionsOf(request.headers), request.body)
    reply.header('etag', etagOf(review))
    return review
  })

  fastify.delete('/:id', {
    config,
    schema: {
      operationId: 'deleteReview',
      summary: 'Delete one\'s own review',
      description: 'With the scope `products:write` anyone\'s.',
      tags,
      params,
      headers: ifMatchHeaders,
      response: { 204: noContent('The review is gone'), 403: problem, 404: problem, 412: problem, 428: problem }
    }
  }, async (request, reply) => {
    await deleteReview(mongodb, request.user, request.params.id, versionsOf(request.headers))
    return reply.code(204).send()
  })
}

export default reviews

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { createProduct, deleteProduct, findProduct, listProducts, productSorts, updateProduct } from '../../services/products.ts'
import { etagOf, ifMatchHeaders, ifNoneMatchHeaders, isFresh, versionsOf } from '../http/conditional.ts'
import { etagHeader, linkHeader, locationHeader } from '../http/headers.ts'
import { linkNext } from '../http/pages.ts'
import { Text, idParams, noContent, oneOf, pageQuery, problem, ref } from '../schemas.ts'
import { Money, NewProduct, Price, Product, ProductPage, ProductPatch } from './schemas.ts'

const tags = ['products']
const params = idParams('The id of the product')
const writer = {
  // recipes: product-changes
  scopes: ['products:write']
}
// A strong ETag stands for these very bytes: a compressed answer would need another.
const uncompressed: object = { compress: false }

const products: FastifyPluginAsyncTypebox = async fastify => {
  for (const schema of [Money, Price, Product, NewProduct, ProductPatch, ProductPage]) fastify.addSchema(schema)
  const { prisma } = fastify

  fastify.get('', {
    config: { public: true },
    schema: {
      operationId: 'listProducts',
      summary: 'List or search the products',
      description: 'Newest first unless `sort` says otherwise.',
      tags,
      querystring: pageQuery({
        q: Type.Optional(Text(100, 'Text in name, SKU or description, whatever its case')),
        sort: Type.Optional(oneOf(productSorts, { default: '-createdAt', description: 'Field to sort by; `-` turns the order round' }))
      }),
      response: { 200: ref(ProductPage, { description: 'A page of products', headers: linkHeader }) }
    }
  }, async (request, reply) => linkNext(request, reply, await listProducts(prisma, request.query)))

  fastify.get('/:id', {
    ...uncompressed,
    config: { public: true },
    schema: {
      operationId: 'getProduct',
      summary: 'Read a product',
      description: 'The ETag grows with every change, also of the stock.',
      tags,
      params,
      headers: ifNoneMatchHeaders,
      response: {
        200: ref(Product, { description: 'The product', headers: etagHeader }),
        304: noContent('The client has the current version', { headers: etagHeader }),
        404: problem
      }
    }
  }, async (request, reply) => {
    const product = await findProduct(prisma, request.params.id)
    const etag = etagOf(product)
    // Caches may keep it but must ask whether it is current.
    reply.header('etag', etag).header('cache-control', 'no-cache')
    return isFresh(request.headers, etag) ? reply.code(304).send() : product
  })

  fastify.post('', {
    ...uncompressed,
    config: writer,
    schema: {
      operationId: 'createProduct',
      summary: 'Create a product',
      description: 'The SKU stays what it is for the life of the product.',
      tags,
      body: ref(NewProduct),
      response: { 201: ref(Product, { description: 'The new product', headers: { ...locationHeader, ...etagHeader } }), 409: problem }
    }
  }, async (request, reply) => {
    const product = await createProduct(prisma, request.body)
    return reply.code(201).header('location', `/products/${product.id}`).header('etag', etagOf(product)).send(product)
  })

  fastify.patch('/:id', {
    ...uncompressed,
    config: writer,
    schema: {
      operationId: 'updateProduct',
      summary: 'Change a product',
      description: 'Members that are left out stay as they are, also within the price.',
      tags,
      params,
      headers: ifMatchHeaders,
      consumes: ['application/merge-patch+json', 'application/json'],
      body: ref(ProductPatch),
      response: { 200: ref(Product, { description: 'The changed product', headers: etagHeader }), 404: problem, 412: problem, 428: problem }
    }
  }, async (request, reply) => {
    const product = await updateProduct(prisma, request.params.id, versionsOf(request.headers), request.body)
    reply.header('etag', etagOf(product))
    return product
  })

  fastify.delete('/:id', {
    config: writer,
    schema: {
      operationId: 'deleteProduct',
      summary: 'Delete a product that nobody ordered',
      description: '409 PRODUCT_IN_USE once there is an order of it: set its stock to 0 instead.',
      tags,
      params,
      headers: ifMatchHeaders,
      response: { 204: noContent('The product is gone'), 404: problem, 409: problem, 412: problem, 428: problem }
    }
  }, async (request, reply) => {
    await deleteProduct(prisma, request.params.id, versionsOf(request.headers))
    return reply.code(204).send()
  })
}

export default products

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { once } from '../../services/idempotency.ts'
import { takeStep, type Step } from '../../services/order-states.ts'
import { findOrder, listOrders, placeOrder, visibleTo } from '../../services/orders.ts'
import { EventsReset, eventsHeaders, eventsQuery } from '../http/events.ts'
import { linkHeader, locationHeader, replayedHeader } from '../http/headers.ts'
import { idempotencyHeaders, markReplay, repeatable } from '../http/idempotency.ts'
import { linkNext } from '../http/pages.ts'
import { byTicket } from '../http/ticket.ts'
import { Money } from '../products/schemas.ts'
import { idParams, pageQuery, problem, ref } from '../schemas.ts'
import { NewOrder, Order, OrderEvent, OrderItem, OrderPage, Status } from './schemas.ts'

const tags = ['orders']
const params = idParams('The id of the order')

const steps: { step: Step, operationId: string, summary: string, description: string, scope: string }[] = [
  { step: 'pay', operationId: 'payOrder', summary: 'Pay a pending order', description: 'From pending to paid.', scope: 'orders:write' },
  { step: 'cancel', operationId: 'cancelOrder', summary: 'Cancel an order that is not shipped', description: 'From pending or paid to cancelled; the products are back in stock.', scope: 'orders:write' },
  { step: 'ship', operationId: 'shipOrder', summary: 'Ship a paid order', description: 'From paid to shipped.', scope: 'orders:admin' }
]

const orders: FastifyPluginAsyncTypebox = async fastify => {
  for (const schema of [Money, OrderItem, Order, NewOrder, OrderPage, OrderEvent, EventsReset]) fastify.addSchema(schema)
  const { prisma, config } = fastify

  fastify.post('', {
    // Many lines compress well.
    decompress: {},
    config: { scopes: ['orders:write'] },
    schema: {
      operationId: 'createOrder',
      summary: 'Place an order',
      description: 'Takes the products out of stock at today\'s prices, all or nothing. 409 OUT_OF_STOCK names what is short. 403 ACCOUNT_REQUIRED: the token names nobody with an account here.',
      tags,
      headers: idempotencyHeaders,
      body: ref(NewOrder),
      response: { 201: ref(Order, { description: 'The new order', headers: { ...locationHeader, ...replayedHeader } }), 403: problem, 409: problem, 422: problem }
    }
  }, async (request, reply) => {
    const followUp = { jobs: await fastify.jobs.for(request), ttl: config.ORDER_TTL, origin: request.origin }
    const result = await once(prisma, repeatable(request, 'createOrder', config.IDEMPOTENCY_TTL), tx => placeOrder(tx, request.user.id, request.body, followUp), request.deadline)
    const order = markReplay(reply, result)
    return reply.code(201).header('location', `/orders/${order.id}`).send(order)
  })

  fastify.get('', {
    config: { scopes: ['orders:read'] },
    schema: {
      operationId: 'listOrders',
      summary: 'List one\'s own orders, newest first',
      description: 'With the scope orders:admin those of everyone.',
      tags,
      querystring: pageQuery({ status: Type.Optional(Status) }),
      response: { 200: ref(OrderPage, { description: 'A page of orders', headers: linkHeader }) }
    }
  }, async (request, reply) => linkNext(request, reply, await listOrders(prisma, request.user, request.query)))

  fastify.get('/events', {
    config: { scopes: ['orders:read'], authenticate: byTicket(prisma) },
    schema: {
      operationId: 'followOrders',
      summary: 'Follow one\'s own orders',
      description: 'Server-sent events, one for each change, in the order of the changes; with the scope orders:admin those of everyone. `Last-Event-ID` (or `lastEventId`) resumes without loss or duplicates; an `event: reset` says that it can\'t be. The stream ends when the token expires: come back with a new one. A client that can\'t send a header, such as EventSource, has a ticket of `POST /ws/tickets`.',
      tags,
      headers: eventsHeaders,
      querystring: eventsQuery,
      response: { 200: { description: 'The events; the schema is of their `data`', content: { 'text/event-stream': { schema: { anyOf: [ref(OrderEvent), ref(EventsReset)] } } } } }
    }
  }, (request, reply) => {
    reply.sendEvents({ topic: 'order', ownerId: visibleTo(request.user).userId, after: request.query.lastEventId })
  })

  fastify.get('/:id', {
    config: { scopes: ['orders:read'] },
    schema: {
      operationId: 'getOrder',
      summary: 'Read an order',
      description: 'One\'s own; with the scope orders:admin anyone\'s.',
      tags,
      params,
      response: { 200: ref(Order, { description: 'The order' }), 404: problem }
    }
  }, async request => await findOrder(prisma, request.user, request.params.id))

  for (const { step, scope, ...about } of steps) {
    fastify.post(`/:id/${step}`, {
      config: { scopes: [scope] },
      schema: { ...about, tags, params, response: { 200: ref(Order, { description: 'The order as it is now' }), 404: problem, 409: problem } }
    }, async request => await takeStep(prisma, request.user, request.params.id, step, request))
  }
}

export default orders

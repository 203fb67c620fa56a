import type { GraphqlFollowed } from 'fastify'
import { Type } from 'typebox'
import { once } from '../../services/idempotency.ts'
import { takeStep, type Step } from '../../services/order-states.ts'
import { findOrder, listOrders, placeOrder, visibleTo, type Order, type OrderItem, type OrderStatus } from '../../services/orders.ts'
import type { Product } from '../../services/products.ts'
import type { User } from '../../services/users.ts'
import { idempotencyHeaders } from '../http/idempotency.ts'
import { NewOrder, Status } from '../orders/schemas.ts'
import { actorOf, type Context } from './context.ts'
import { connectionOf, given, listArguments, pageOf, type Connection, type Slice } from './pages.ts'
import { orNull } from './products.ts'

const typeDefs = /* GraphQL */ `
"An order of products."
type Order {
  id: UUID!
  status: OrderStatus!
  items: [OrderItem!]! @listSize(assumedSize: 10)
  total: Money! @cost(weight: 0)
  "Whose it is; of another's it needs the scope users:read."
  user: User
  createdAt: DateTime!
  updatedAt: DateTime!
}

"What a product was called and cost when it was ordered."
type OrderItem {
  productId: UUID!
  sku: String!
  name: String!
  quantity: Int!
  unitPrice: Money! @cost(weight: 0)
  "What it is now."
  product: Product!
}

enum OrderStatus {
  pending
  paid
  shipped
  cancelled
}

type OrderConnection {
  nodes: [Order!]!
  pageInfo: PageInfo!
}

input NewOrderItem {
  productId: UUID!
  "1 to 1000."
  quantity: Int!
}

"An order to place: 1 to 100 products, each once."
input NewOrder {
  items: [NewOrderItem!]!
}

type CreateOrderPayload {
  order: Order!
  "The order is the one that the first call with this idempotencyKey made."
  replayed: Boolean!
}

"A change of an order, and what the order was after it."
type OrderEvent {
  "Its place in the log of events: send it as \`after\` to go on behind it."
  id: String!
  "order.created, order.paid, order.shipped or order.cancelled."
  type: String!
  at: DateTime!
  orderId: UUID!
  order: Order!
}

"Events may have been missed: read the orders anew. Events follow from \`id\` on."
type EventsReset {
  id: String!
  "malformed, future or expired."
  reason: String!
}

union OrderUpdate = OrderEvent | EventsReset

extend type Query {
  "One's own orders, newest first; with the scope orders:admin those of everyone."
  orders(first: Int! = 20, after: String, status: OrderStatus): OrderConnection! @auth(scopes: ["orders:read"]) @listSize(slicingArgument: "first")
  "An order that one may see; null: there is none of this id."
  order(id: UUID!): Order @auth(scopes: ["orders:read"])
}

extend type Mutation {
  "Takes the products out of stock at today's prices, all or nothing. With an idempotencyKey (as the header Idempotency-Key) it is safe to send again."
  createOrder(input: NewOrder!, idempotencyKey: String): CreateOrderPayload! @auth(scopes: ["orders:write"]) @cost(weight: 10)
  "From pending to paid."
  payOrder(id: UUID!): Order! @auth(scopes: ["orders:write"]) @cost(weight: 10)
  "From pending or paid to cancelled; the products are back in stock."
  cancelOrder(id: UUID!): Order! @auth(scopes: ["orders:write"]) @cost(weight: 10)
  "From paid to shipped."
  shipOrder(id: UUID!): Order! @auth(scopes: ["orders:admin"]) @cost(weight: 10)
}

extend type Subscription {
  "What happens to one's own orders, or to one order; with the scope orders:admin to those of everyone. Without \`after\`, from now on."
  orderUpdates(id: UUID, after: String): OrderUpdate! @auth(scopes: ["orders:read"])
}
`

const Arguments = listArguments({ status: Type.Optional(Status) })
const Key = Type.Object({ idempotencyKey: idempotencyHeaders.properties['idempotency-key'] })

type Placed = Pick<Order, 'id'>
interface Input { items: { productId: string, quantity: number }[] }

const step = (name: Step) => async (_: unknown, { id }: { id: string }, context: Context): Promise<Order> => {
  const { prisma, deadline, origin } = context
  return await takeStep(prisma, actorOf(context), id, name, { deadline, origin })
}

const resolvers = {
  Order: {
    user: async ({ id }: Placed, _: object, context: Context): Promise<User | undefined> => {
      const owner = await context.owners.load(id)
      if (owner?.id !== context.user?.id) context.authorize('users:read')
      return owner
    }
  },
  OrderItem: {
    product: async ({ productId }: OrderItem, _: object, { products }: Context): Promise<Product | undefined> => await products.load(productId)
  },
  OrderUpdate: { __resolveType: (update: object) => 'reason' in update ? 'EventsReset' : 'OrderEvent' },
  Query: {
    orders: async (_: unknown, args: Slice & { status?: OrderStatus | null }, context: Context): Promise<Connection<Order>> => {
      const { status, ...page } = given(args)
      context.check(Arguments, given(args), 'query')
      return connectionOf(await listOrders(context.prisma, actorOf(context), { ...pageOf(page), ...status === undefined ? {} : { status } }))
    },
    order: async (_: unknown, { id }: { id: string }, context: Context): Promise<Order | null> => await orNull(findOrder(context.prisma, actorOf(context), id))
  },
  Mutation: {
    createOrder: async (_: unknown, { input, idempotencyKey }: { input: Input, idempotencyKey?: string | null }, context: Context) => {
      const { prisma, deadline, origin, settings, check } = context
      const { id: userId } = actorOf(context)
      check(NewOrder, input)
      check(Key, idempotencyKey == null ? {} : { idempotencyKey })
      const followUp = { jobs: await context.jobs(), ttl: settings.orderTtl, origin }
      // What POST /orders would repeat: a key is one and the same, whichever way it comes.
      const repeatable = idempotencyKey == null ? undefined : { userId, operation: 'createOrder', key: idempotencyKey, input: { params: {}, body: input }, ttl: settings.idempotencyTtl }
      const { answer, replayed } = await once(prisma, repeatable, tx => placeOrder(tx, userId, input, followUp), deadline)
      return { order: answer, replayed }
    },
    payOrder: step('pay'),
    cancelOrder: step('cancel'),
    shipOrder: step('ship')
  },
  Subscription: {
    orderUpdates: {
      subscribe: async (_: unknown, { id, after }: { id?: string | null, after?: string | null }, context: Context) => {
        const actor = actorOf(context)
        const { userId } = visibleTo(actor)
        // Also finds out whether the order may be seen.
        const subject = id == null ? undefined : (await findOrder(context.prisma, actor, id)).id
        return await context.follow({
          topic: 'order',
          ...userId === undefined ? {} : { ownerId: userId },
          ...subject === undefined ? {} : { subject },
          ...after == null ? {} : { after }
        })
      },
      resolve: (followed: GraphqlFollowed) => 'reset' in followed ? followed.reset : JSON.parse(followed.event.json) as object
    }
  }
}

export const orders = { typeDefs, resolvers }

import DataLoader from 'dataloader'
import type { FastifyInstance, GraphqlCall } from 'fastify'
import { ownersOfOrders, productsById } from '../../services/lookups.ts'
import type { Product } from '../../services/products.ts'
import type { Actor } from '../../services/scopes.ts'
import type { User } from '../../services/users.ts'

/** What resolvers have: whoever calls, the database, and loaders that ask it once for what many fields want at a time. */
export interface Context extends GraphqlCall {
  prisma: FastifyInstance['prisma']
  jobs: () => ReturnType<FastifyInstance['jobs']['for']>
  settings: { orderTtl: number, idempotencyTtl: number }
  products: DataLoader<string, Product | undefined>
  /** The users that orders are of, by the orders' ids. */
  owners: DataLoader<string, User | undefined>
}

/** @param isLasting a subscription goes on while what was loaded changes: nothing is kept from one event to the next */
export function contextOf ({ prisma, jobs, config }: FastifyInstance, call: GraphqlCall, isLasting: boolean): Context {
  const options = { cache: !isLasting }
  return {
    ...call,
    prisma,
    jobs: () => jobs.for({ origin: call.origin }),
    settings: { orderTtl: config.ORDER_TTL, idempotencyTtl: config.IDEMPOTENCY_TTL },
    products: new DataLoader(async ids => byKey(ids, await productsById(prisma, ids)), options),
    owners: new DataLoader(async ids => byKey(ids, await ownersOfOrders(prisma, ids)), options)
  }
}

/** Whoever calls a field that has @auth. */
export function actorOf ({ user }: GraphqlCall): Actor {
  if (user === undefined) throw new Error('the field needs @auth')
  return user
}

function byKey<T> (keys: readonly string[], found: Map<string, T>): (T | undefined)[] {
  return keys.map(key => found.get(key))
}

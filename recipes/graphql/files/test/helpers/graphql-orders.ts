import type { FastifyInstance } from 'fastify'
import { asAdmin, bearer, newProduct, registered } from './app.ts'

export interface Node { id: string, status: string, items: { productId: string, product: { id: string, sku: string } }[], user: { id: string, email: string } | null }
export interface Orders { orders: { nodes: Node[], pageInfo: { hasNextPage: boolean, endCursor: string | null } } }

export const CREATE = 'mutation ($input: NewOrder!, $key: String) { createOrder(input: $input, idempotencyKey: $key) { order { id status items { productId quantity } total { amount currency } createdAt user { id } } replayed } }'

/** Two users and an admin, a product of which there is enough, and orders of it. */
export async function orderers (app: FastifyInstance) {
  const [user, other, admin] = [await registered(app), await registered(app), await asAdmin(app)]
  const product = await newProduct(app, { stock: 1_000_000 })
  const { token } = user
  const input = (quantity = 1, productId = product.id) => ({ items: [{ productId, quantity }] })
  /** Places an order by the route; gives its id. */
  const order = async (by = token) => (await app.inject({ method: 'POST', url: '/orders', headers: bearer(by), payload: input() })).json().id as string
  return { user, other, admin, product, token, input, order }
}

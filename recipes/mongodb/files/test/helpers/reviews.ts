import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { bearer, newProduct } from './app.ts'

/** What is sent to review a product. */
export const reviewOf = (productId: string, overrides: object = {}) => ({ productId, rating: 4, title: 'Quiet and quick', text: 'The switches could be lighter.', ...overrides })

/** The id of a new review of a new product, through the API. Where there is no MongoDB, one of none. */
export async function newReview (app: FastifyInstance, token: string, overrides: object = {}): Promise<string> {
  if (!app.mongodb.isConfigured) return randomUUID()
  const { id } = await newProduct(app)
  return (await app.inject({ method: 'POST', url: '/reviews', headers: bearer(token), payload: reviewOf(id, overrides) })).json().id
}

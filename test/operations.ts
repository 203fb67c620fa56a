// Every operation: who may call it, and a request of it that succeeds. test/authorization.test.ts calls each as
// everyone; test/fuzz/ takes from here what there is to ask for. A route without a line fails both by its name.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { asAdmin, bearer, newProduct, registered } from './helpers/app.ts'
import { signInOperations } from './sign-in-operations.ts'

/** The statuses for nobody, for an expired token, another user, the user that owns the resource, and an admin. */
export type Statuses = [nobody: number, expired: number, other: number, owner: number, admin: number]

export const everyone = (status: number): Statuses => [status, status, status, status, status]
export const signedIn = (status: number): Statuses => [401, 401, status, status, status]
/** @public where the sample is gone, for a resource that people have as their own */
export const ownerAndAdmin = (status: number): Statuses => [401, 401, 404, status, status]
const admins = (status: number): Statuses => [401, 401, 403, 403, status]

/** Who may call an operation, and a request that would succeed, made anew for each call: its `id` goes into the path. */
export interface Line { answers: Statuses, id?: () => Promise<string>, path?: string, headers?: Record<string, string>, payload?: () => object | Promise<object> }

/** The users that the operations are called as, and a line for each operation. */
export async function operationsOf (app: FastifyInstance) {
  const [owner, other, admin] = [await registered(app), await registered(app), await asAdmin(app)]
  const product = await newProduct(app, { stock: 1_000_000 })
  const aProduct = async () => (await newProduct(app)).id
  const someProduct = () => ({ sku: `SKU-${randomUUID()}`, name: 'Lamp', description: '', price: { amount: 1, currency: 'EUR' }, stock: 1 })
  const ifMatch = { 'if-match': '*' }
  const items = () => ({ items: [{ productId: product.id, quantity: 1 }] })
  const pending = async () => (await app.inject({ method: 'POST', url: '/orders', headers: bearer(owner.token), payload: items() })).json().id as string
  const paid = async () => {
    const id = await pending()
    await app.inject({ method: 'POST', url: `/orders/${id}/pay`, headers: bearer(owner.token) })
    return id
  }

  const table: Record<string, Line> = {
    'GET /orders': { answers: signedIn(200) },
    'POST /orders': { answers: signedIn(201), payload: items },
    'GET /orders/:id': { answers: ownerAndAdmin(200), id: pending },
    'POST /orders/:id/pay': { answers: ownerAndAdmin(200), id: pending },
    'POST /orders/:id/cancel': { answers: ownerAndAdmin(200), id: pending },
    'POST /orders/:id/ship': { answers: admins(200), id: paid },

    'GET /problems': { answers: everyone(200) },
    'GET /problems/:code': { answers: everyone(200), path: '/problems/not-found' },
    'GET /health/live': { answers: everyone(200) },
    'GET /health/ready': { answers: everyone(200) },
    'GET /metrics': { answers: everyone(200) },

    // Over a real connection: test/plugins/websocket-admission.test.ts.
    'GET /ws': { answers: signedIn(426) },
    'POST /ws/tickets': { answers: signedIn(201) },

    // recipes: operations
    'GET /openapi.json': { answers: everyone(200) },
    'GET /asyncapi.json': { answers: everyone(200) },
    'GET /docs/': { answers: everyone(200) },
    'GET /docs/json': { answers: everyone(200) },
    'GET /docs/yaml': { answers: everyone(200) },
    'GET /docs/static/index.html': { answers: everyone(302) },
    'GET /docs/static/swagger-initializer.js': { answers: everyone(200) },
    'GET /docs/static/*': { answers: everyone(200), path: '/docs/static/swagger-ui.css' },

    ...await signInOperations(app, { owner, other, admin }),
    'GET /users/me': { answers: signedIn(200) },
    'PATCH /users/me': { answers: signedIn(200), payload: () => ({ name: 'Renamed' }) },
    'GET /users': { answers: admins(200) },
    'GET /orders/events': { answers: signedIn(200) },

    'GET /products': { answers: everyone(200) },
    'GET /products/:id': { answers: everyone(200), id: async () => product.id },
    'POST /products': { answers: admins(201), payload: someProduct },
    'PATCH /products/:id': { answers: admins(200), id: aProduct, headers: ifMatch, payload: () => ({ stock: 7 }) },
    'DELETE /products/:id': { answers: admins(204), id: aProduct, headers: ifMatch }
  }

  return { owner, other, admin, table }
}

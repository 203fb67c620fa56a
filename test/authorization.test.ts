// Who may call what: every route, called by everyone. A route without a line in `table` fails by name.
import { randomUUID } from 'node:crypto'
import { createSigner } from 'fast-jwt'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import { routeList } from '../kit/route-list.ts'
import { asAdmin, bearer, buildApp, injectStream, newProduct, registered } from './helpers/app.ts'

const app = await buildApp(t)
const [owner, other, admin] = [await registered(app), await registered(app), await asAdmin(app)]
const ordered = await newProduct(app, { stock: 1000 })

/** The statuses for nobody, for an expired token, another user, the user that owns the resource, and an admin. */
type Statuses = [nobody: number, expired: number, other: number, owner: number, admin: number]
const callers: Record<string, { authorization?: string }> = {
  'no token': {},
  // Of an admin: what it was good for once does not matter.
  'an expired token': bearer(resigned(admin.token, { iat: 1000, exp: 2000 })),
  'another user': bearer(other.token),
  'the user': bearer(owner.token),
  'an admin': bearer(admin.token)
}

const everyone = (status: number): Statuses => [status, status, status, status, status]
const signedIn = (status: number): Statuses => [401, 401, status, status, status]
const ownerAndAdmin = (status: number): Statuses => [401, 401, 404, status, status]
const admins = (status: number): Statuses => [401, 401, 403, 403, status]

/** A request that would succeed, made anew for each call: its `id` goes into the path. */
interface Line { answers: Statuses, id?: () => Promise<string>, path?: string, headers?: Record<string, string>, payload?: () => object | Promise<object> }

const credentials = { email: owner.email, password: owner.password }
const session = async () => ({ refreshToken: (await registered(app)).refreshToken })
/** The newest session of the owner, begun for the occasion. */
const ownSession = async () => {
  const { accessToken } = (await call('POST', '/auth/login', { payload: credentials })).json()
  const { items } = (await call('GET', '/users/me/sessions', { headers: bearer(accessToken) })).json() as { items: { id: string, current: boolean }[] }
  return items.find(({ current }) => current)?.id ?? ''
}
const newAccount = () => ({ ...credentials, email: `${randomUUID()}@example.com`, name: 'New' })
const aProduct = async () => (await newProduct(app)).id
const someProduct = () => ({ sku: `SKU-${randomUUID()}`, name: 'Lamp', description: '', price: { amount: 1, currency: 'EUR' }, stock: 1 })
const ifMatch = { 'if-match': '*' }
const items = () => ({ items: [{ productId: ordered.id, quantity: 1 }] })
const pending = async () => (await call('POST', '/orders', { headers: bearer(owner.token), payload: items() })).json().id as string

const table: Record<string, Line> = {
  'GET /.well-known/jwks.json': { answers: everyone(200) },
  'GET /problems': { answers: everyone(200) },
  'GET /problems/:code': { answers: everyone(200), path: '/problems/not-found' },
  'GET /health/live': { answers: everyone(200) },
  'GET /health/ready': { answers: everyone(200) },

  'GET /openapi.json': { answers: everyone(200) },
  'GET /docs/': { answers: everyone(200) },
  'GET /docs/json': { answers: everyone(200) },
  'GET /docs/yaml': { answers: everyone(200) },
  'GET /docs/static/index.html': { answers: everyone(302) },
  'GET /docs/static/swagger-initializer.js': { answers: everyone(200) },
  'GET /docs/static/*': { answers: everyone(200), path: '/docs/static/swagger-ui.css' },

  'POST /auth/register': { answers: everyone(201), payload: newAccount },
  'POST /auth/login': { answers: everyone(200), payload: () => credentials },
  'POST /auth/refresh': { answers: everyone(200), payload: session },
  'POST /auth/logout': { answers: everyone(204), payload: session },

  'GET /users/me': { answers: signedIn(200) },
  'GET /users/me/sessions': { answers: signedIn(200) },
  'DELETE /users/me/sessions/:id': { answers: [401, 401, 404, 204, 404], id: ownSession },
  'PUT /users/me/password': { answers: signedIn(204), payload: () => ({ currentPassword: credentials.password, newPassword: credentials.password }) },
  'PATCH /users/me': { answers: signedIn(200), payload: () => ({ name: 'Renamed' }) },
  'GET /users': { answers: admins(200) },

  'GET /products': { answers: everyone(200) },
  'GET /products/:id': { answers: everyone(200), id: async () => ordered.id },
  'POST /products': { answers: admins(201), payload: someProduct },
  'PATCH /products/:id': { answers: admins(200), id: aProduct, headers: ifMatch, payload: () => ({ stock: 7 }) },
  'DELETE /products/:id': { answers: admins(204), id: aProduct, headers: ifMatch },

  'GET /orders': { answers: signedIn(200) },
  'POST /orders': { answers: signedIn(201), payload: items },
  'GET /orders/events': { answers: signedIn(200) },
  'GET /orders/:id': { answers: ownerAndAdmin(200), id: pending },
  'POST /orders/:id/pay': { answers: ownerAndAdmin(200), id: pending },
  'POST /orders/:id/cancel': { answers: ownerAndAdmin(200), id: pending },
  'POST /orders/:id/ship': { answers: admins(200), id: paid }
}

const routes = (await routeList()).map(({ method, path }) => ({ method: method as 'GET', path, name: `${method} ${path}` }))

for (const { method, path, name } of routes) {
  t.test(name, async (t) => {
    const line = table[name]
    if (!line) return t.fail(`say in the table of test/authorization.test.ts who may call ${name}`)
    for (const [index, [caller, authorization]] of Object.entries(callers).entries()) {
      const url = line.path ?? path.replace(':id', await line.id?.() ?? '')
      const payload = await line.payload?.()
      const headers = { ...line.headers, ...authorization }
      const before = await everything()
      const { statusCode } = await injectStream(app, { method, url, headers, payload })
      t.equal(statusCode, line.answers[index], caller)
      if (statusCode >= 400) t.equal(await everything(), before, `${caller}: what is refused changes nothing`)
      if (method === 'GET') t.equal((await call('HEAD', url, { headers })).statusCode, statusCode, `${caller}: HEAD`)
    }
  })
}

t.test('the table has no line for a route that is gone', async (t) => {
  t.same(Object.keys(table).filter(line => !routes.some(({ name }) => name === line)), [])
})

t.test('it is its age alone that the expired token is refused for', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  t.equal((await call('GET', '/users', { headers: bearer(resigned(admin.token, { iat: now, exp: now + 60 })) })).statusCode, 200)
})

async function paid (): Promise<string> {
  const id = await pending()
  await call('POST', `/orders/${id}/pay`, { headers: bearer(owner.token) })
  return id
}

function call (method: 'GET' | 'POST' | 'HEAD', url: string, rest: InjectOptions) {
  return app.inject({ method, url, ...rest })
}

/** What the database has, as text to compare. */
async function everything (): Promise<string> {
  const { user, refreshToken, product, order } = app.prisma
  return JSON.stringify([await user.findMany(), await refreshToken.findMany(), await product.findMany(), await order.findMany()], (_, value) => typeof value === 'bigint' ? String(value) : value)
}

/** The token with other claims, signed with the same key. */
function resigned (token: string, claims: object): string {
  const [header, payload] = token.split('.').slice(0, 2).map(part => JSON.parse(Buffer.from(part, 'base64url').toString()))
  const sign = createSigner({ key: app.config.JWT_PRIVATE_KEY, algorithm: header.alg, kid: header.kid, header: { alg: header.alg, typ: header.typ } })
  return sign({ ...payload, ...claims })
}

// What orders mean for the products that they are of.
import t from 'tap'
import { asAdmin, bearer, buildApp, newProduct, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const admin = await asAdmin(app)
const { token } = await registered(app)
const order = (id: string, headers: Record<string, string> = {}) => app.inject({ method: 'POST', url: '/orders', headers: { ...bearer(token), ...headers }, payload: { items: [{ productId: id, quantity: 1 }] } })

t.test('an order changes the stock and so the ETag', async (t) => {
  const { id, etag } = await newProduct(app)
  await order(id)
  t.not((await app.inject(`/products/${id}`)).headers.etag, etag)
})

t.test('a product that was ordered stays', async (t) => {
  const { id } = await newProduct(app)
  await order(id)
  const response = await app.inject({ method: 'DELETE', url: `/products/${id}`, headers: { ...bearer(admin.token), 'if-match': '*' } })
  t.equal(response.statusCode, 409)
  t.equal(response.json().code, 'PRODUCT_IN_USE')
})

t.test('an order that is sent again with its key is placed once, and answered as at first when it has moved on', async (t) => {
  const { id } = await newProduct(app, { stock: 5 })
  const headers = { 'idempotency-key': 'once' }
  const first = await order(id, headers)
  t.equal((await app.inject({ method: 'POST', url: `/orders/${first.json().id}/pay`, headers: { ...bearer(token), ...headers } })).json().status, 'paid', 'the key is of one route')
  const second = await order(id, headers)
  t.match(second, { statusCode: 201, headers: { 'idempotency-replayed': 'true', location: first.headers.location } })
  t.equal(second.body, first.body)
  t.equal((await app.inject(`/products/${id}`)).json().stock, 4)
})

t.test('an order that is short of stock may be tried again with its key', async (t) => {
  const { id } = await newProduct(app, { stock: 0 })
  const headers = { 'idempotency-key': 'again' }
  t.equal((await order(id, headers)).statusCode, 409)
  await app.prisma.product.update({ where: { id }, data: { stock: 1 } })
  t.equal((await order(id, headers)).statusCode, 201)
  t.equal((await order(id, headers)).headers['idempotency-replayed'], 'true')
})

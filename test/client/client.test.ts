import { readFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createKeelClient, type Schema } from '../../client/index.ts'
import { clientTypes } from '../../kit/client-types.ts'
import { asAdmin, buildApp, newProduct, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const url = await app.listen({ port: 0, host: '127.0.0.1' })

t.test('client/schema.d.ts is what openapi.json says: npm run client writes it', async (t) => {
  t.equal(readFileSync('client/schema.d.ts', 'utf8'), await clientTypes(readFileSync('openapi.json', 'utf8')))
})

t.test('it knows paths, parameters, bodies and answers', async (t) => {
  const { token } = await asAdmin(app)
  const client = createKeelClient(url, { token })
  const body: Schema<'NewProduct'> = { sku: `SKU-${randomUUID().slice(0, 8)}`, name: 'Lamp', description: '', price: { amount: 1, currency: 'EUR' }, stock: 2 }
  const created = await client.POST('/products', { body })
  t.equal(created.data?.sku, body.sku)
  const id = created.data?.id ?? ''
  const changed = await client.PATCH('/products/{id}', { params: { path: { id }, header: { 'if-match': '*' } }, body: { stock: 3 } })
  t.equal(changed.data?.stock, 3)
  const list = await client.GET('/products', { params: { query: { q: body.sku, limit: 1 } } })
  t.same(list.data?.items.map(item => item.id), [id])
  // @ts-expect-error: there is no such path
  await client.GET('/product')
  // @ts-expect-error: the body lacks the price
  await client.POST('/products', { body: { sku: 'x', name: 'x', description: '', stock: 1 } })
})

t.test('an error is the problem of the service', async (t) => {
  const { error, data, response } = await createKeelClient(url).GET('/products/{id}', { params: { path: { id: randomUUID() } } })
  t.equal(response.status, 404)
  t.equal(data, undefined)
  t.equal(error?.code, 'NOT_FOUND')
})

t.test('the token may be a function, and a header given with a request comes first', async (t) => {
  const [one, other] = [await registered(app), await registered(app)]
  const tokens = [undefined, one.token]
  const client = createKeelClient(url, { token: async () => tokens.shift() })
  t.equal((await client.GET('/users/me')).response.status, 401)
  t.equal((await client.GET('/users/me')).data?.id, one.id)
  const asOther = await client.GET('/users/me', { headers: { authorization: `Bearer ${other.token}` } })
  t.equal(asOther.data?.id, other.id)
})

t.test('what is not JSON: an answer without a body, and a version that the client has', async (t) => {
  const { id, etag } = await newProduct(app)
  const client = createKeelClient(url, { token: (await asAdmin(app)).token })
  const unchanged = await client.GET('/products/{id}', { params: { path: { id }, header: { 'if-none-match': etag } } })
  t.equal(unchanged.response.status, 304)
  const gone = await client.DELETE('/products/{id}', { params: { path: { id }, header: { 'if-match': etag } } })
  t.equal(gone.response.status, 204)
})

import t from 'tap'
import { asAdmin, bearer, buildApp, newProduct, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const admin = await asAdmin(app)
const lamp = { name: 'Lamp', description: 'A lamp.\nWith a bulb.', price: { amount: 1999, currency: 'EUR' }, stock: 10 }
let count = 0
const someProduct = (rest: object = {}) => ({ sku: `LAMP-${++count}`, ...lamp, ...rest })
const create = (payload: object, token = admin.token) => app.inject({ method: 'POST', url: '/products', headers: bearer(token), payload })
const patch = (id: string, payload: object, headers: object = { 'if-match': '*' }) =>
  app.inject({ method: 'PATCH', url: `/products/${id}`, headers: { ...bearer(admin.token), ...headers }, payload })
const remove = (id: string, headers: object = { 'if-match': '*' }) => app.inject({ method: 'DELETE', url: `/products/${id}`, headers: { ...bearer(admin.token), ...headers } })
const NOBODY = '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'

t.test('an admin creates a product, which anyone can read', async (t) => {
  const payload = someProduct()
  const response = await create(payload)
  t.equal(response.statusCode, 201)
  const { id, createdAt, updatedAt, ...rest } = response.json()
  t.same(rest, payload)
  t.equal(createdAt, updatedAt)
  t.equal(response.headers.location, `/products/${id}`)
  t.equal(response.headers.etag, '"1"')
  const read = await app.inject(String(response.headers.location))
  t.equal(read.statusCode, 200)
  t.same(read.json(), response.json())
  t.same(Object.keys(read.json()).sort(), ['createdAt', 'description', 'id', 'name', 'price', 'sku', 'stock', 'updatedAt'])
})

t.test('nobody else changes the catalogue', async (t) => {
  const { id } = await newProduct(app)
  const user = await registered(app)
  for (const [method, url, payload] of [['POST', '/products', someProduct()], ['PATCH', `/products/${id}`, {}], ['DELETE', `/products/${id}`]] as const) {
    t.equal((await app.inject({ method, url, payload })).statusCode, 401, method)
    t.equal((await app.inject({ method, url, payload, headers: bearer(user.token) })).statusCode, 403, method)
  }
})

t.test('a SKU belongs to one product', async (t) => {
  const { sku } = await newProduct(app)
  const response = await create(someProduct({ sku }))
  t.equal(response.statusCode, 409)
  t.match(response.json(), { code: 'SKU_TAKEN', errors: [{ pointer: '#/body/sku' }] })
})

t.test('what there is not is 404', async (t) => {
  for (const response of await Promise.all([app.inject(`/products/${NOBODY}`), patch(NOBODY, { stock: 1 }), remove(NOBODY), patch(NOBODY, {}, { 'if-match': '"1"' })])) {
    t.equal(response.statusCode, 404)
    t.equal(response.json().code, 'NOT_FOUND')
  }
})

t.test('an id that is none is refused', async (t) => {
  for (const id of ['1', 'null', `urn:uuid:${NOBODY}`, `${NOBODY}0`, '%00', "'%20OR%201=1"]) {
    for (const response of [await app.inject(`/products/${id}`), await patch(id, { stock: 1 }), await remove(id)]) t.equal(response.statusCode, 400, id)
  }
})

t.test('an id in upper case is the same id', async (t) => {
  const { id } = await newProduct(app)
  t.equal((await app.inject(`/products/${id.toUpperCase()}`)).json().id, id)
})

t.test('a product that does not fit is refused', async (t) => {
  const bad: Record<string, object> = {
    'no SKU': { sku: undefined },
    'a blank in the SKU': { sku: 'A B' },
    'a long SKU': { sku: 'A'.repeat(65) },
    'no name': { name: '' },
    'a long name': { name: 'a'.repeat(201) },
    'a long description': { description: 'a'.repeat(2001) },
    'a control character': { description: 'bell \u0007' },
    'a stock below 0': { stock: -1 },
    'half a piece': { stock: 1.5 },
    'stock as text': { stock: '1' },
    'more stock than can be': { stock: 2 ** 31 },
    'no price': { price: null },
    'a price as a number': { price: 19.99 },
    'a price with a fraction': { price: { amount: 19.99, currency: 'EUR' } },
    'a price below 0': { price: { amount: -1, currency: 'EUR' } },
    'a price too large': { price: { amount: 2 ** 31, currency: 'EUR' } },
    'an enormous price': { price: { amount: 1e308, currency: 'EUR' } },
    'no currency': { price: { amount: 1 } },
    'a currency in lower case': { price: { amount: 1, currency: 'eur' } },
    'a field that is none': { colour: 'red' },
    'its version': { version: 7 }
  }
  for (const [what, rest] of Object.entries(bad)) {
    const response = await create(someProduct(rest))
    t.equal(response.statusCode, 400, what)
    t.equal(response.json().code, 'VALIDATION_FAILED', what)
  }
})

t.test('the bounds themselves are good', async (t) => {
  const bounds = [{ stock: 0, price: { amount: 0, currency: 'JPY' }, description: '' }, { stock: 1_000_000_000, price: { amount: 2 ** 31 - 1, currency: 'EUR' }, name: '灯'.repeat(200) }]
  for (const rest of bounds) {
    const response = await create(someProduct(rest))
    t.equal(response.statusCode, 201)
    t.match(response.json(), rest)
  }
})

t.test('a patch changes what it names', async (t) => {
  const { id, sku } = await newProduct(app, lamp)
  const response = await patch(id, { name: 'Desk lamp', stock: 3 })
  t.equal(response.statusCode, 200)
  t.match(response.json(), { ...lamp, sku, name: 'Desk lamp', stock: 3 })
  t.ok(response.json().updatedAt > response.json().createdAt)
})

t.test('a patch is merged into the price', async (t) => {
  const { id } = await newProduct(app, lamp)
  t.same((await patch(id, { price: { amount: 5 } })).json().price, { amount: 5, currency: 'EUR' })
  t.same((await patch(id, { price: { currency: 'CHF' } })).json().price, { amount: 5, currency: 'CHF' })
})

t.test('a patch may come as application/merge-patch+json', async (t) => {
  const { id } = await newProduct(app)
  const response = await patch(id, { stock: 1 }, { 'if-match': '*', 'content-type': 'application/merge-patch+json' })
  t.equal(response.json().stock, 1)
})

t.test('a patch that does not fit is refused', async (t) => {
  const { id } = await newProduct(app)
  for (const payload of [{ sku: 'OTHER' }, { id: NOBODY }, { name: null }, { stock: -1 }, { price: { amount: null } }, { price: { amount: 1, tax: 2 } }, []]) {
    t.equal((await patch(id, payload)).statusCode, 400, JSON.stringify(payload))
  }
})

t.test('a product can be deleted', async (t) => {
  const { id, etag } = await newProduct(app)
  const response = await remove(id, { 'if-match': etag })
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.equal((await app.inject(`/products/${id}`)).statusCode, 404)
})

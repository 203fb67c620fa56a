import { randomUUID } from 'node:crypto'
import t from 'tap'
import { asAdmin, bearer, buildApp, newProduct, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const user = await registered(app)
const admin = await asAdmin(app)
const NOBODY = '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'
const post = (payload: object, token = user.token) => app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload })
const order = (items: [id: string, quantity: unknown][], token = user.token) => post({ items: items.map(([productId, quantity]) => ({ productId, quantity })) }, token)
const get = (path: string, token = user.token) => app.inject({ url: `/orders${path}`, headers: bearer(token) })
const stockOf = async (id: string) => (await app.inject(`/products/${id}`)).json().stock as number

t.test('an order notes what the products are called and cost now', async (t) => {
  const lamp = await newProduct(app, { name: 'Lamp', price: { amount: 1999, currency: 'EUR' }, stock: 10 })
  const bulb = await newProduct(app, { name: 'Bulb', price: { amount: 300, currency: 'EUR' }, stock: 10 })
  const response = await order([[bulb.id, 3], [lamp.id, 2]])
  t.equal(response.statusCode, 201)
  const { id, createdAt, updatedAt, ...rest } = response.json()
  t.equal(response.headers.location, `/orders/${id}`)
  t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  t.match([createdAt, updatedAt], [/Z$/, /Z$/])
  t.same(rest, {
    status: 'pending',
    items: [
      { productId: bulb.id, sku: bulb.sku, name: 'Bulb', quantity: 3, unitPrice: { amount: 300, currency: 'EUR' } },
      { productId: lamp.id, sku: lamp.sku, name: 'Lamp', quantity: 2, unitPrice: { amount: 1999, currency: 'EUR' } }
    ],
    total: { amount: 4898, currency: 'EUR' }
  })
  await app.prisma.product.update({ where: { id: lamp.id }, data: { name: 'Dear lamp', priceAmount: 9999 } })
  t.same((await get(`/${id}`)).json(), response.json())
})

t.test('what is ordered is out of stock', async (t) => {
  const { id } = await newProduct(app, { stock: 10 })
  await order([[id, 3]])
  t.equal(await stockOf(id), 7)
})

t.test('the last piece can be ordered', async (t) => {
  const { id } = await newProduct(app, { stock: 3 })
  t.equal((await order([[id, 3]])).statusCode, 201)
  t.equal(await stockOf(id), 0)
})

t.test('more than there is cannot, and the answer names the product', async (t) => {
  const plenty = await newProduct(app, { stock: 10 })
  const scarce = await newProduct(app, { stock: 1 })
  const response = await order([[plenty.id, 2], [scarce.id, 2]])
  t.equal(response.statusCode, 409)
  t.match(response.json(), { code: 'OUT_OF_STOCK', errors: [{ pointer: '#/body/items/1/quantity' }] })
  t.ok(response.json().detail.includes(scarce.sku) && response.json().detail.includes(scarce.id))
  t.same([await stockOf(plenty.id), await stockOf(scarce.id)], [10, 1], 'nothing is taken')
})

t.test('what does not exist cannot be ordered', async (t) => {
  const { id } = await newProduct(app)
  const response = await order([[id, 1], [NOBODY, 1]])
  t.equal(response.statusCode, 422)
  t.match(response.json(), { code: 'UNKNOWN_PRODUCT', errors: [{ pointer: '#/body/items/1/productId' }] })
  t.equal(await stockOf(id), 10)
})

t.test('a product is listed once', async (t) => {
  const { id } = await newProduct(app)
  for (const same of [id, id.toUpperCase()]) {
    const response = await order([[id, 1], [same, 1]])
    t.equal(response.statusCode, 400)
    t.match(response.json(), { code: 'DUPLICATE_PRODUCT', errors: [{ pointer: '#/body/items/1/productId' }] })
  }
})

t.test('an id in upper case is the same product', async (t) => {
  const { id } = await newProduct(app)
  const response = await order([[id.toUpperCase(), 1]])
  t.equal(response.statusCode, 201)
  t.equal(response.json().items[0].productId, id)
})

t.test('an order is in one currency', async (t) => {
  const euro = await newProduct(app)
  const franc = await newProduct(app, { price: { amount: 1, currency: 'CHF' } })
  const response = await order([[euro.id, 1], [franc.id, 1]])
  t.equal(response.statusCode, 422)
  t.equal(response.json().code, 'MIXED_CURRENCIES')
})

t.test('a total has a bound', async (t) => {
  const { id } = await newProduct(app, { price: { amount: 2 ** 31 - 1, currency: 'EUR' }, stock: 10_000 })
  const response = await order([[id, 1000]])
  t.equal(response.statusCode, 422)
  t.equal(response.json().code, 'TOTAL_TOO_LARGE')
  t.same((await order([[id, 400]])).json().total, { amount: 400 * (2 ** 31 - 1), currency: 'EUR' }, 'beyond 32 bits')
})

t.test('an order that does not fit is refused', async (t) => {
  const { id } = await newProduct(app)
  const bad: Record<string, object> = {
    'no items': {},
    'an empty list': { items: [] },
    'items that are no list': { items: { productId: id, quantity: 1 } },
    'null as an item': { items: [null] },
    'no quantity': { items: [{ productId: id }] },
    'no product': { items: [{ quantity: 1 }] },
    'an id that is none': { items: [{ productId: 'lamp', quantity: 1 }] },
    'a URN': { items: [{ productId: `urn:uuid:${id}`, quantity: 1 }] },
    'a price of one\'s own': { items: [{ productId: id, quantity: 1, unitPrice: { amount: 1, currency: 'EUR' } }] },
    'a status of one\'s own': { items: [{ productId: id, quantity: 1 }], status: 'paid' },
    'too many items': { items: Array.from({ length: 101 }, () => ({ productId: randomUUID(), quantity: 1 })) },
    'far too many items': { items: Array.from({ length: 10_000 }, () => ({ productId: randomUUID(), quantity: 1 })) }
  }
  for (const [what, payload] of Object.entries(bad)) t.equal((await post(payload)).statusCode, 400, what)
  for (const quantity of [0, -1, 1.5, 1001, 2 ** 31, 1e308, '1', null, true, [1]]) t.equal((await order([[id, quantity]])).statusCode, 400, `quantity ${quantity}`)
  t.equal(await stockOf(id), 10)
})

t.test('an order takes a hundred products', async (t) => {
  const skus = Array.from({ length: 100 }, (_, index) => `HUNDRED-${index}`)
  await app.prisma.product.createMany({ data: skus.map(sku => ({ sku, name: sku, description: '', priceAmount: 1, priceCurrency: 'EUR', stock: 1 })) })
  const products = await app.prisma.product.findMany({ where: { sku: { in: skus } } })
  const response = await order(products.map(({ id }) => [id, 1]))
  t.equal(response.statusCode, 201)
  t.same(response.json().items.map(({ productId }: { productId: string }) => productId), products.map(({ id }) => id))
})

t.test('orders at once never take more than there is', async (t) => {
  const { id } = await newProduct(app, { stock: 20 })
  const responses = await Promise.all(Array.from({ length: 200 }, () => order([[id, 1]])))
  t.equal(responses.filter(({ statusCode }) => statusCode === 201).length, 20)
  t.equal(responses.filter(response => response.statusCode === 409 && response.json().code === 'OUT_OF_STOCK').length, 180)
  t.equal(await stockOf(id), 0)
})

t.test('orders at once of the same products in any order do not block each other', async (t) => {
  const products = await Promise.all(Array.from({ length: 4 }, () => newProduct(app, { stock: 100 })))
  const ids = products.map(({ id }) => id)
  const responses = await Promise.all(Array.from({ length: 24 }, (_, index) => {
    const rotated = [...ids.slice(index % 4), ...ids.slice(0, index % 4)]
    return order((index % 2 ? rotated : rotated.toReversed()).map(id => [id, 1]))
  }))
  t.ok(responses.every(({ statusCode }) => statusCode === 201))
  t.same(await Promise.all(ids.map(stockOf)), [76, 76, 76, 76])
})

t.test('another\'s order is not there; an admin sees it', async (t) => {
  const { id } = (await order([[(await newProduct(app)).id, 1]])).json()
  const other = await registered(app)
  const response = await get(`/${id}`, other.token)
  t.equal(response.statusCode, 404)
  t.equal(response.json().detail, (await get(`/${NOBODY}`, other.token)).json().detail)
  t.equal((await get(`/${id}`, admin.token)).statusCode, 200)
})

t.test('one lists one\'s own orders, newest first', async (t) => {
  const { token } = await registered(app)
  const { id } = await newProduct(app, { stock: 100 })
  const ids: string[] = []
  for (let count = 0; count < 5; count++) ids.unshift((await order([[id, 1]], token)).json().id)
  const first = (await get('?limit=3', token)).json()
  const second = await get(`?limit=3&cursor=${first.nextCursor}`, token)
  const idsOf = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id)
  t.same([...idsOf(first), ...idsOf(second.json())], ids)
  t.equal(second.json().nextCursor, null)
  t.equal(first.items[0].items[0].productId, id)
})

t.test('an admin lists everyone\'s', async (t) => {
  const { id } = (await order([[(await newProduct(app)).id, 1]])).json()
  t.equal((await get('?limit=1', admin.token)).json().items[0].id, id)
})

t.test('orders can be listed by state', async (t) => {
  const { token } = await registered(app)
  const { id } = await newProduct(app)
  const paid = (await order([[id, 1]], token)).json().id
  await order([[id, 1]], token)
  await app.inject({ method: 'POST', url: `/orders/${paid}/pay`, headers: bearer(token) })
  t.same((await get('?status=paid', token)).json().items.map((order: { id: string }) => order.id), [paid])
  t.same((await get('?status=shipped', token)).json().items, [])
  t.equal((await get('?status=lost', token)).statusCode, 400)
})

t.test('another\'s cursor leads nowhere but through one\'s own orders', async (t) => {
  const { id } = await newProduct(app, { stock: 100 })
  const other = await registered(app)
  const mine = (await order([[id, 1]], other.token)).json().id
  for (let count = 0; count < 3; count++) await order([[id, 1]])
  const { nextCursor } = (await get('?limit=1')).json()
  t.same((await get(`?limit=100&cursor=${nextCursor}`, other.token)).json().items.map((order: { id: string }) => order.id), [mine])
})

t.test('a query that does not fit is refused', async (t) => {
  const cursorOf = (...position: unknown[]) => `cursor=${Buffer.from(JSON.stringify(position)).toString('base64url')}`
  const time = '2026-11-25T09:36:16.000Z'
  t.equal((await get(`?${cursorOf('orders', '-createdAt', time, NOBODY)}`)).statusCode, 200)
  const cursors = [
    cursorOf('products', '-createdAt', time, NOBODY),
    cursorOf('orders', 'createdAt', time, NOBODY),
    cursorOf('orders', '-createdAt', '2026-02-30T00:00:00.000Z', NOBODY),
    cursorOf('orders', '-createdAt', 0, NOBODY),
    cursorOf('orders', '-createdAt', time, "' OR 1=1"),
    cursorOf('orders', '-createdAt', time, NOBODY).slice(0, -3),
    'cursor=forged'
  ]
  for (const query of cursors) t.match(await get(`?${query}`).then(response => ({ ...response.json(), query })), { status: 400, code: 'INVALID_CURSOR' }, query)
  for (const query of ['limit=0', 'limit=-1', 'limit=101', 'limit=1e9', 'limit=5%20', 'limit=', 'limit=5&limit=6', 'sort=createdAt', `userId=${NOBODY}`, 'status=', 'status=paid&status=pending', 'cursor=', 'cursor=%00']) {
    t.equal((await get(`?${query}`)).statusCode, 400, query)
  }
})

t.test('an id that is none is refused', async (t) => {
  for (const id of ['1', 'null', `urn:uuid:${NOBODY}`, `${NOBODY}0`, NOBODY.replaceAll('-', ''), '%00', "'%20OR%201=1", 'g'.repeat(36), 'x'.repeat(200)]) {
    t.equal((await get(`/${id}`)).statusCode, 400, id)
    for (const step of ['pay', 'cancel', 'ship']) t.equal((await app.inject({ method: 'POST', url: `/orders/${id}/${step}`, headers: bearer(admin.token) })).statusCode, 400, `${step} ${id}`)
  }
})

t.test('without a token there are no orders', async (t) => {
  for (const [method, url] of [['GET', '/orders'], ['POST', '/orders'], ['GET', `/orders/${NOBODY}`], ['POST', `/orders/${NOBODY}/pay`]] as const) {
    t.equal((await app.inject({ method, url })).statusCode, 401, `${method} ${url}`)
  }
})

t.test('scopes say what a token may do', async (t) => {
  const { accessToken } = app.accessTokens.issue({ id: user.id, scopes: ['orders:read'] })
  t.equal((await get('', accessToken)).statusCode, 200)
  t.equal((await order([[NOBODY, 1]], accessToken)).statusCode, 403)
})

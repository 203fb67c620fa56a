// What GraphQL offers of the service: the same data, the same guard and the same problems as the routes.
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import t, { type Test } from 'tap'
import { asAdmin, bearer, newProduct, registered } from '../helpers/app.ts'
import { storedJobs } from '../helpers/jobs.ts'
import { ask, buildGraphql, post, statementsOf, type Answer, type Extensions } from '../helpers/graphql.ts'

interface Node { id: string, status: string, items: { productId: string, product: { id: string, sku: string } }[], user: { id: string, email: string } | null }
interface Orders { orders: { nodes: Node[], pageInfo: { hasNextPage: boolean, endCursor: string | null } } }

// Every statement that pg sends, counted where it is sent: the connections of the service come later.
let sent = 0
const { prototype } = pg.Client as unknown as { prototype: { query: (...args: unknown[]) => unknown } }
const { query } = prototype
prototype.query = function (...args) {
  sent++
  return Reflect.apply(query, this, args)
}

const app = await buildGraphql(t)
const [user, other, admin] = [await registered(app), await registered(app), await asAdmin(app)]
const product = await newProduct(app, { stock: 1_000_000 })
const { token } = user
const CREATE = 'mutation ($input: NewOrder!, $key: String) { createOrder(input: $input, idempotencyKey: $key) { order { id status items { productId quantity } total { amount currency } createdAt user { id } } replayed } }'
const input = (quantity = 1, productId = product.id) => ({ items: [{ productId, quantity }] })
const order = async (by = token) => (await app.inject({ method: 'POST', url: '/orders', headers: bearer(by), payload: input() })).json().id as string

t.test('anyone may ask for the products', async t => {
  const { data } = await ask<{ products: { nodes: object[] }, product: object }>(app, `{ products(first: 1) { nodes { id sku name description price { amount currency } stock createdAt updatedAt } } product(id: "${product.id}") { id price { amount currency } } }`)
  const rest = (await app.inject('/products?limit=1')).json()
  t.same(data.products.nodes, rest.items, 'as the route has them')
  t.match(data.product, { id: product.id, price: { amount: 1999, currency: 'EUR' } })
  t.same(await ask(app, `{ product(id: "${randomUUID()}") { id } }`), { data: { product: null } })
})

t.test('products are searched and sorted', async t => {
  const q = randomUUID()
  for (const [name, amount] of [['b', 1], ['a', 3], ['c', 2]] as const) await newProduct(app, { name, description: q, price: { amount, currency: 'EUR' } })
  for (const [sort, names] of [['NAME_ASC', 'abc'], ['NAME_DESC', 'cba'], ['PRICE_ASC', 'bca'], ['PRICE_DESC', 'acb'], ['CREATED_AT_ASC', 'bac'], ['CREATED_AT_DESC', 'cab']] as const) {
    const { data } = await ask<{ products: { nodes: { name: string }[] } }>(app, `{ products(q: "${q}", sort: ${sort}) { nodes { name } } }`)
    t.equal(data.products.nodes.map(({ name }) => name).join(''), names, sort)
  }
})

t.test('who may ask', async t => {
  const limited = app.accessTokens.issue({ id: user.id, scopes: [] }).accessToken
  const foreign = await order(other.token)
  for (const [name, by, query, code] of [
    ['nobody', undefined, '{ orders { nodes { id } } }', 'UNAUTHORIZED'],
    ['nobody', undefined, '{ me { id } }', 'UNAUTHORIZED'],
    ['nobody', undefined, `mutation { payOrder(id: "${foreign}") { id } }`, 'UNAUTHORIZED'],
    ['without scopes', limited, '{ orders { nodes { id } } }', 'FORBIDDEN'],
    ['without scopes', limited, `mutation { cancelOrder(id: "${foreign}") { id } }`, 'FORBIDDEN'],
    ['without scopes', limited, '{ me { id } }', undefined],
    ['a user', token, '{ users { nodes { id } } }', 'FORBIDDEN'],
    ['a user', token, `mutation { shipOrder(id: "${foreign}") { id } }`, 'FORBIDDEN'],
    ['a user', token, `mutation { payOrder(id: "${foreign}") { id } }`, 'NOT_FOUND'],
    ['a user', token, '{ orders { nodes { id } } }', undefined],
    ['an admin', admin.token, '{ users { nodes { id } } }', undefined]
  ] as const) {
    const { data, errors } = await ask(app, query, { token: by })
    t.equal(errors?.[0]?.extensions.code, code, `${name}: ${query}`)
    if (code !== undefined) t.ok(data === null || Object.values(data).every(value => value === null))
  }
  t.same((await ask(app, `{ order(id: "${foreign}") { id } }`, { token })).data, { order: null }, 'another\'s order is none')
  t.equal((await app.prisma.order.findUniqueOrThrow({ where: { id: foreign } })).status, 'pending')
})

t.test('one field that is refused leaves the others', async t => {
  const { data, errors } = await ask(app, `{ product(id: "${product.id}") { id } order(id: "${randomUUID()}") { id } }`)
  t.same(data, { product: { id: product.id }, order: null })
  t.match(errors, [{ path: ['order'], extensions: { code: 'UNAUTHORIZED', status: 401 } }])
})

t.test('a token that is not valid is 401, as everywhere, whatever is asked for', async t => {
  for (const bad of ['e30.e30.e30', `${token}x`]) {
    const response = await post(app, '{ products { nodes { id } } }', { token: bad })
    t.match(response, { statusCode: 401, headers: { 'content-type': 'application/problem+json', 'www-authenticate': /invalid_token/ } })
  }
  t.equal((await app.inject({ url: '/graphql?query={__typename}', headers: { authorization: 'Basic eDp5' } })).statusCode, 401)
})

t.test('an order that is made, paid, cancelled', async t => {
  const created = await ask<{ createOrder: { order: Node, replayed: boolean } }>(app, CREATE, { token, variables: { input: input(2) } })
  t.match(created.data, { createOrder: { order: { status: 'pending', items: [{ productId: product.id, quantity: 2 }], total: { amount: 3998, currency: 'EUR' }, createdAt: /^\d{4}-.*Z$/, user: { id: user.id } }, replayed: false } })
  const { id } = created.data.createOrder.order
  for (const [step, by, status] of [['pay', token, 'paid'], ['ship', admin.token, 'shipped']] as const) {
    t.same((await ask(app, `mutation { ${step}Order(id: "${id}") { status user { email } } }`, { token: by })).data, { [`${step}Order`]: { status, user: { email: user.email } } })
  }
  const second = await order()
  t.same((await ask(app, `mutation { cancelOrder(id: "${second}") { status } }`, { token })).data, { cancelOrder: { status: 'cancelled' } })
  t.same((await app.prisma.event.findMany({ where: { subject: id }, orderBy: { position: 'asc' } })).map(({ type }) => type), ['order.created', 'order.paid', 'order.shipped'])
  t.match(await app.prisma.event.findFirst({ where: { subject: id } }), { ownerId: user.id, origin: { requestId: String } })
  for (const queue of ['confirm-order', 'expire-order']) {
    t.equal((await storedJobs(app, queue)).filter(({ payload }) => (payload as { orderId: string }).orderId === id).length, 1, queue)
  }
})

t.test('mutations of a request run one after the other', async t => {
  const id = await order()
  const { data, errors } = await ask(app, `mutation { a: payOrder(id: "${id}") { status } b: cancelOrder(id: "${id}") { status } }`, { token })
  t.same([data, errors], [{ a: { status: 'paid' }, b: { status: 'cancelled' } }, undefined])
})

t.test('with a key an order is made once, whichever way it comes', async t => {
  const key = randomUUID()
  const variables = { input: input(3), key }
  const before = await app.prisma.order.count()
  const first = await ask<{ createOrder: { order: Node } }>(app, CREATE, { token, variables })
  const again = await ask<{ createOrder: { order: Node } }>(app, CREATE, { token, variables })
  t.match(again.data, { createOrder: { order: first.data.createOrder.order, replayed: true } })
  const rest = await app.inject({ method: 'POST', url: '/orders', headers: { ...bearer(token), 'idempotency-key': key }, payload: input(3) })
  t.match([rest.json().id, rest.headers['idempotency-replayed']], [first.data.createOrder.order.id, 'true'])
  t.equal(await app.prisma.order.count(), before + 1)
  t.match((await ask(app, CREATE, { token, variables: { ...variables, input: input(4) } })).errors, [{ extensions: { code: 'IDEMPOTENCY_KEY_REUSED', status: 422 } }])
  t.match((await ask(app, CREATE, { token, variables: { ...variables, key: '' } })).errors, [{ extensions: { code: 'VALIDATION_FAILED' } }])
})

t.test('while the first with a key is running another is told to wait', { skip: process.env.TEST_DATABASE_URL ? false : 'the embedded database has one session, which a lock does not keep out' }, async t => {
  const unlock = await hold(JSON.stringify([user.id, 'createOrder', 'held']))
  const variables = { input: input(), key: 'held' }
  t.match((await ask(app, CREATE, { token, variables })).errors, [{ extensions: { code: 'IDEMPOTENCY_IN_FLIGHT', status: 409, retryAfter: 1 } }])
  await unlock()
  t.match((await ask(app, CREATE, { token, variables })).data, { createOrder: { replayed: false } })
})

t.test('an error has the problem that the route answers with', async t => {
  const few = await newProduct(app, { stock: 1 })
  const yen = await newProduct(app, { price: { amount: 1, currency: 'JPY' } })
  const shipped = await order()
  for (const step of ['pay', 'ship']) await app.inject({ method: 'POST', url: `/orders/${shipped}/${step}`, headers: bearer(admin.token) })
  const both = { items: [...input().items, ...input(1, yen.id).items] }
  for (const [payload, code] of [
    [input(5, few.id), 'OUT_OF_STOCK'],
    [input(1, randomUUID()), 'UNKNOWN_PRODUCT'],
    [{ items: [...input().items, ...input().items] }, 'DUPLICATE_PRODUCT'],
    [both, 'MIXED_CURRENCIES'],
    [input(0), 'VALIDATION_FAILED'],
    [input(1001), 'VALIDATION_FAILED'],
    [{ items: [] }, 'VALIDATION_FAILED'],
    [{ items: Array.from({ length: 101 }, () => input().items[0]) }, 'VALIDATION_FAILED']
  ] as const) {
    const { errors } = await ask(app, CREATE, { token, variables: { input: payload } })
    const rest = (await app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload })).json()
    t.equal(rest.code, code)
    same(t, errors[0], rest)
  }
  const id = randomUUID()
  for (const [path, field] of [[`/orders/${id}/pay`, `payOrder(id: "${id}")`], [`/orders/${shipped}/cancel`, `cancelOrder(id: "${shipped}")`]]) {
    const { errors } = await ask(app, `mutation { ${field} { id } }`, { token })
    same(t, errors[0], (await app.inject({ method: 'POST', url: path, headers: bearer(token) })).json())
  }
  const { errors } = await ask(app, '{ orders(after: "nonsense") { nodes { id } } }', { token })
  same(t, errors[0], (await app.inject({ url: '/orders?cursor=nonsense', headers: bearer(token) })).json())
})

t.test('an id that the request came with is in its errors', async t => {
  const response = await post(app, '{ me { id } }', { headers: { 'x-request-id': 'the-request-1', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' } })
  t.match(response.json().errors[0].extensions, { requestId: 'the-request-1', traceId: '0af7651916cd43dd8448eb211c80319c', type: '/problems/unauthorized' })
})

t.test('lists', async t => {
  const reader = await registered(app)
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.unshift(await order(reader.token))
  const PAGE = 'query ($first: Int!, $after: String) { orders(first: $first, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }'

  t.test('page by page, by the cursors that the route has, too', async t => {
    const seen: string[] = []
    let after: string | null = null
    do {
      const { data }: { data: Orders } = await ask<Orders>(app, PAGE, { token: reader.token, variables: { first: 2, after } })
      seen.push(...data.orders.nodes.map(({ id }) => id))
      t.equal(data.orders.pageInfo.hasNextPage, seen.length < 5)
      if (after === null) t.equal((await app.inject({ url: '/orders?limit=2', headers: bearer(reader.token) })).json().nextCursor, data.orders.pageInfo.endCursor)
      after = data.orders.pageInfo.endCursor
    } while (after !== null)
    t.same(seen, ids)
  })

  t.test('of one state; of everyone for an admin', async t => {
    await app.inject({ method: 'POST', url: `/orders/${ids[3]}/pay`, headers: bearer(reader.token) })
    t.same((await ask<Orders>(app, '{ orders(status: paid) { nodes { id } } }', { token: reader.token })).data.orders.nodes, [{ id: ids[3] }])
    const { data } = await ask<Orders>(app, '{ orders(first: 100) { nodes { user { id } } } }', { token: admin.token })
    t.ok(new Set(data.orders.nodes.map(({ user }) => user?.id)).size > 2)
  })

  t.test('what they can\'t be asked for', async t => {
    for (const [query, pointer] of [
      ['{ orders(first: 0) { nodes { id } } }', '#/query/first'],
      ['{ orders(first: 101) { nodes { id } } }', '#/query/first'],
      ['{ orders(first: -1) { nodes { id } } }', '#/query/first'],
      ['{ orders(after: "a b") { nodes { id } } }', '#/query/after'],
      ['{ products(q: "\\u0001") { nodes { id } } }', '#/query/q'],
      ['{ products(q: "\\u0000") { nodes { id } } }', '#/body/q']
    ] as const) {
      const { errors } = await ask(app, query, { token })
      t.match(errors, [{ extensions: { code: 'VALIDATION_FAILED', status: 400, errors: [{ pointer }] } }], query)
    }
    t.match((await ask(app, '{ users(email: "none") { nodes { id } } }', { token: admin.token })).errors, [{ extensions: { code: 'VALIDATION_FAILED' } }])
  })

  t.test('users', async t => {
    t.same((await ask(app, `{ users(email: "${reader.email.toUpperCase()}") { nodes { id email name role } } }`, { token: admin.token })).data, { users: { nodes: [{ id: reader.id, email: reader.email, name: 'Test', role: 'user' }] } })
  })
})

t.test('100 orders with items, products and users take four statements, however many users and products there are', async t => {
  const QUERY = '{ orders(first: 100) { nodes { id status items { productId quantity product { id sku price { amount } } } user { id email } } pageInfo { endCursor } } }'
  const products = (await Promise.all(Array.from({ length: 10 }, () => newProduct(app, { stock: 1_000 })))).map(({ id }) => id)
  const buyers = [await registered(app), await registered(app), await registered(app)]
  for (let i = 0; i < 100; i++) {
    const items = [products[i % 10], products[(i + 3) % 10]].map(productId => ({ productId, quantity: 1 }))
    await app.inject({ method: 'POST', url: '/orders', headers: bearer(buyers[i % 3]?.token ?? ''), payload: { items } })
  }
  let data: Orders | undefined
  const before = sent
  const statements = await statementsOf(app, async () => { ({ data } = await ask<Orders>(app, QUERY, { token: admin.token })) })
  t.equal(sent - before, 4, 'on the connections')
  t.equal(data?.orders.nodes.length, 100)
  t.ok(data?.orders.nodes.every(({ items }) => items.length === 2 && items.every(({ productId, product }) => product.id === productId)))
  t.same(new Set(data?.orders.nodes.map(({ user }) => user?.id)), new Set(buyers.map(({ id }) => id)))
  t.equal(statements.length, 4, statements.join('\n'))
})

t.test('whose an order is, is told to whoever may know', async t => {
  await order(other.token)
  const ordersOnly = app.accessTokens.issue({ id: admin.id, scopes: ['orders:read', 'orders:admin'] }).accessToken
  const { data, errors } = await ask<Orders>(app, '{ orders(first: 1) { nodes { id user { email } } } }', { token: ordersOnly })
  t.equal(data.orders.nodes[0]?.user, null)
  t.match(errors, [{ path: ['orders', 'nodes', 0, 'user'], extensions: { code: 'FORBIDDEN', status: 403 } }])
  const noEmail = app.accessTokens.issue({ id: other.id, scopes: ['orders:read'] }).accessToken
  t.equal((await ask<Orders>(app, '{ orders(first: 1) { nodes { user { email } } } }', { token: noEmail })).data.orders.nodes[0]?.user?.email, other.email, 'one\'s own')
})

t.test('somebody without an account here', async t => {
  const stranger = app.accessTokens.issue({ id: randomUUID(), scopes: ['orders:read', 'orders:write'] }).accessToken
  t.match((await ask(app, '{ me { id } }', { token: stranger })).errors, [{ extensions: { code: 'NOT_FOUND' } }])
  t.match((await ask(app, CREATE, { token: stranger, variables: { input: input() } })).errors, [{ extensions: { code: 'ACCOUNT_REQUIRED', status: 403 } }])
})

/** An error of GraphQL has what the problem of a route has. */
function same (t: Test, error: Answer<unknown>['errors'][0] | undefined, problem: Record<string, unknown>): void {
  const { requestId, ...rest } = error?.extensions ?? {} as Partial<Extensions>
  const { code, status, type, errors, detail } = problem
  t.same({ message: error?.message, ...rest }, { message: detail, code, status, type, ...errors === undefined ? {} : { errors } }, String(code))
  t.ok(requestId)
}

/** Takes the lock of a key, as a request that runs does. @returns what lets it go */
async function hold (name: string): Promise<() => Promise<void>> {
  const client = new pg.Client(app.databaseUrl)
  await client.connect()
  await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name])
  return async () => await client.end()
}

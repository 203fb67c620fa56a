// What GraphQL offers of the service, and to whom: the same data and the same guard as the routes.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { newProduct } from '../helpers/app.ts'
import { ask, buildGraphql, post } from '../helpers/graphql.ts'
import { CREATE, orderers, type Orders } from '../helpers/graphql-orders.ts'

const app = await buildGraphql(t)
const { user, other, admin, product, token, input, order } = await orderers(app)

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

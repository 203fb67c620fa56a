// Lists by GraphQL: their pages, their filters, and how few statements they take.
import pg from 'pg'
import t from 'tap'
import { bearer, newProduct, registered } from '../helpers/app.ts'
import { ask, buildGraphql, statementsOf } from '../helpers/graphql.ts'
import { orderers, type Orders } from '../helpers/graphql-orders.ts'

// Every statement that pg sends, counted where it is sent: the connections of the service come later.
let sent = 0
const { prototype } = pg.Client as unknown as { prototype: { query: (...args: unknown[]) => unknown } }
const { query } = prototype
prototype.query = function (...args) {
  sent++
  return Reflect.apply(query, this, args)
}

const app = await buildGraphql(t)
const { other, admin, token, order } = await orderers(app)
// Whom an admin's list has besides the reader.
for (const by of [token, other.token]) await order(by)

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

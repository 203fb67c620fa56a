// Orders that are made and changed by GraphQL, once with a key.
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import t from 'tap'
import { bearer } from '../helpers/app.ts'
import { ask, buildGraphql } from '../helpers/graphql.ts'
import { CREATE, orderers, type Node } from '../helpers/graphql-orders.ts'
import { storedJobs } from '../helpers/jobs.ts'

const app = await buildGraphql(t)
const { user, admin, product, token, input, order } = await orderers(app)

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

/** Takes the lock of a key, as a request that runs does. @returns what lets it go */
async function hold (name: string): Promise<() => Promise<void>> {
  const client = new pg.Client(app.databaseUrl)
  await client.connect()
  await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name])
  return async () => await client.end()
}

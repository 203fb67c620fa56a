// What clients of the WebSocket get of orders, over real sockets. What any topic is like is in test/plugins/websocket-topics.test.ts.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { asAdmin, bearer, newProduct, registered } from '../helpers/app.ts'
import { listening, open } from '../helpers/socket.ts'

const app = await listening(t)
const other = await listening(t)
const [owner, stranger, admin] = [await registered(app), await registered(app), await asAdmin(app)]
const product = await newProduct(app, { stock: 1_000_000 })

async function placed (token = owner.token): Promise<string> {
  const response = await app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload: { items: [{ productId: product.id, quantity: 1 }] } })
  return response.json().id
}

async function step (id: string, name: 'pay' | 'cancel', token = owner.token): Promise<void> {
  await app.inject({ method: 'POST', url: `/orders/${id}/${name}`, headers: bearer(token) })
}

const subscribe = (topic: string, rest: object = {}) => ({ type: 'subscribe', topic, ...rest })

t.test('who follows orders gets what happens to one\'s own', async t => {
  const client = await open(t, app, owner)
  t.match(await client.ask(subscribe('orders')), { type: 'subscribed', topic: 'orders', id: /^\d+$/ })
  await placed(stranger.token)
  const id = await placed()
  t.match(await client.next(), { type: 'event', topic: 'orders', event: { id: /^\d+$/, type: 'order.created', orderId: id, at: /Z$/, order: { id, status: 'pending' } } })
  await step(id, 'pay')
  t.match(await client.next(), { event: { type: 'order.paid', orderId: id, order: { status: 'paid' } } })
})

t.test('an event is what the order is over HTTP', async t => {
  const client = await open(t, app, owner)
  await client.ask(subscribe('orders'))
  const id = await placed()
  const { event } = await client.next()
  t.same(event?.order, (await app.inject({ url: `/orders/${id}`, headers: bearer(owner.token) })).json())
})

t.test('with orders:admin they are those of everyone', async t => {
  const client = await open(t, app, admin)
  await client.ask(subscribe('orders'))
  const [first, second] = [await placed(), await placed(stranger.token)]
  t.same([(await client.next()).event?.orderId, (await client.next()).event?.orderId], [first, second])
})

t.test('one order can be followed by itself', async t => {
  const [mine, another] = [await placed(), await placed()]
  const client = await open(t, app, owner)
  t.match(await client.ask(subscribe(`orders/${mine}`)), { type: 'subscribed', topic: `orders/${mine}` })
  await step(another, 'pay')
  await step(mine, 'cancel')
  t.match(await client.next(), { type: 'event', topic: `orders/${mine}`, event: { type: 'order.cancelled', orderId: mine } })
})

t.test('another\'s order is not found, nor is one that is none', async t => {
  const theirs = await placed(stranger.token)
  const client = await open(t, app, owner)
  for (const id of [theirs, randomUUID()]) t.match(await client.ask(subscribe(`orders/${id}`)), { type: 'error', code: 'NOT_FOUND', topic: `orders/${id}` })
  t.match(await (await open(t, app, admin)).ask(subscribe(`orders/${theirs}`)), { type: 'subscribed' }, 'the admin may')
})

t.test('a topic needs its scopes', async t => {
  const { accessToken: token } = app.accessTokens.issue({ id: owner.id, scopes: ['products:write'] })
  const client = await open(t, app, { token })
  t.match(await client.ask(subscribe('orders')), { type: 'error', code: 'FORBIDDEN' })
})

for (const topic of ['order', 'orders/x', 'orders/', 'ORDERS', 'orders/0197FBD2-6F0F-7A5E-B5C0-0B0F2B7F3A11', 'products']) {
  t.test(`there is no topic "${topic}"`, async t => {
    const client = await open(t, app, owner)
    client.socket.send(JSON.stringify(subscribe(topic)))
    t.match(await client.next(), { type: 'error', code: /^(UNKNOWN_TOPIC|INVALID_MESSAGE)$/ })
  })
}

t.test('whoever comes back gets what was missed, from any process', async t => {
  const before = await open(t, app, owner)
  await before.ask(subscribe('orders'))
  const ids = [await placed(), await placed(), await placed()]
  const first = await before.next()
  before.socket.terminate()

  const after = await open(t, other, owner)
  t.match(await after.ask(subscribe('orders', { lastEventId: first.event?.id })), { type: 'subscribed', id: first.event?.id })
  t.same([(await after.next()).event?.orderId, (await after.next()).event?.orderId], ids.slice(1))
})

// What clients of the WebSocket do, over real sockets. What is wrong with them is in test/plugins/websocket.test.ts.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { trimEvents } from '../../services/events.ts'
import { asAdmin, bearer, newProduct, registered } from '../helpers/app.ts'
import { listening, open, portOf, recordEvents, type Message } from '../helpers/socket.ts'

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

t.test('a topic is followed once', async t => {
  const client = await open(t, app, owner)
  await client.ask(subscribe('orders'))
  t.match(await client.ask(subscribe('orders')), { type: 'error', code: 'ALREADY_SUBSCRIBED', topic: 'orders' })
  const id = await placed()
  t.match(await client.next(), { event: { orderId: id } })
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'the event came once')
})

t.test('what is unsubscribed from is silent, and can be followed again', async t => {
  const client = await open(t, app, owner)
  await client.ask(subscribe('orders'))
  t.match(await client.ask({ type: 'unsubscribe', topic: 'orders' }), { type: 'unsubscribed', topic: 'orders' })
  await placed()
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
  t.match(await client.ask(subscribe('orders')), { type: 'subscribed' })
  const id = await placed()
  t.match(await client.next(), { event: { orderId: id } })
})

t.test('unsubscribed from while it is being opened, a topic is never followed', async t => {
  const client = await open(t, app, owner)
  const topic = `orders/${await placed()}`
  client.send(subscribe(topic))
  client.send({ type: 'unsubscribe', topic })
  t.match(await client.next(), { type: 'unsubscribed', topic })
  t.match(await client.ask(subscribe(topic)), { type: 'subscribed', topic }, 'no other answer came in between')
})

t.test('what is not followed can\'t be unsubscribed from or acknowledged', async t => {
  const client = await open(t, app, owner)
  t.match(await client.ask({ type: 'unsubscribe', topic: 'orders' }), { type: 'error', code: 'NOT_SUBSCRIBED', topic: 'orders' })
  t.match(await client.ask({ type: 'ack', topic: 'orders', id: '1' }), { type: 'error', code: 'NOT_SUBSCRIBED' })
})

t.test('whoever comes back gets what was missed, from any process', async t => {
  const before = await open(t, app, owner)
  const { id: start } = await before.ask(subscribe('orders'))
  const ids = [await placed(), await placed(), await placed()]
  const first = await before.next()
  before.socket.terminate()

  const after = await open(t, other, owner)
  t.match(await after.ask(subscribe('orders', { lastEventId: first.event?.id })), { type: 'subscribed', id: first.event?.id })
  t.same([(await after.next()).event?.orderId, (await after.next()).event?.orderId], ids.slice(1))

  const neverSawOne = await open(t, other, owner)
  await neverSawOne.ask(subscribe('orders', { lastEventId: start }))
  const all = [await neverSawOne.next(), await neverSawOne.next(), await neverSawOne.next()]
  t.same(all.map(({ event }) => event?.orderId), ids)
})

t.test('a position that can\'t be gone on from is reset, and what is new follows', async t => {
  for (const [lastEventId, reason] of [['x', 'malformed'], ['-1', 'malformed'], ['', 'malformed'], ['99999999', 'future']] as const) {
    const client = await open(t, app, owner)
    const { id } = await client.ask(subscribe('orders', { lastEventId }))
    t.same(await client.next(), { type: 'reset', topic: 'orders', id, reason })
    const orderId = await placed()
    t.match(await client.next(), { event: { orderId } })
    client.socket.close()
  }
})

t.test('a position whose events are kept no more is reset', async t => {
  const client = await open(t, app, owner)
  const { id: start } = await client.ask(subscribe('orders'))
  await placed()
  await app.prisma.$transaction(tx => trimEvents(tx, new Date(Date.now() + 1000)))
  const fresh = await open(t, await listening(t), owner)
  await fresh.ask(subscribe('orders', { lastEventId: start }))
  t.match(await fresh.next(), { type: 'reset', topic: 'orders', reason: 'expired' })
})

t.test('with a window', async t => {
  t.test('no more events come than it holds until they are acknowledged', async t => {
    const client = await open(t, app, owner)
    await client.ask(subscribe('orders', { window: 2 }))
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push(await placed())
    const [first, second] = [await client.next(), await client.next()]
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'the third does not come')
    client.send({ type: 'ack', topic: 'orders', id: first.event?.id })
    const third = await client.next()
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'the fourth does not come')
    client.send({ type: 'ack', topic: 'orders', id: third.event?.id })
    const [fourth, fifth] = [await client.next(), await client.next()]
    t.same([first, second, third, fourth, fifth].map(({ event }) => event?.orderId), ids)
  })

  t.test('many events arrive once each and in order, one at a time, as fast as they are acknowledged', async t => {
    const reader = await registered(app)
    const client = await open(t, app, reader)
    await client.ask(subscribe('orders', { window: 1 }))
    const writing = recordEvents(app, reader.id, 500)
    const seen: bigint[] = []
    while (seen.length < 500) {
      const { event } = await client.next()
      seen.push(BigInt(event!.id))
      client.send({ type: 'ack', topic: 'orders', id: event!.id })
    }
    await writing
    t.ok(seen.every((id, index) => index === 0 || id > seen[index - 1]!))
  })
})

t.test('when the log has gone back it is reset, and what was on its way counts no more', async t => {
  const client = await open(t, app, owner)
  const { id: start = '' } = await client.ask(subscribe('orders', { window: 3 }))
  for (let i = 0; i < 2; i++) {
    await placed()
    await client.next()
  }
  // As a failover to a standby that lagged leaves it.
  await app.prisma.event.deleteMany({ where: { position: { gt: BigInt(start) } } })
  await app.prisma.$queryRaw`SELECT setval('event_positions', ${BigInt(start)}::bigint)::text`
  t.match(await client.next(), { type: 'reset', topic: 'orders', id: start, reason: 'future' })
  const ids = [await placed(), await placed(), await placed()]
  t.same([await client.next(), await client.next(), await client.next()].map(({ event }) => event?.orderId), ids)
})

t.test('without a window acknowledgements say nothing', async t => {
  const client = await open(t, app, owner)
  await client.ask(subscribe('orders'))
  client.send({ type: 'ack', topic: 'orders', id: '1' })
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
})

t.test('Node\'s own WebSocket connects with a ticket', async t => {
  const { ticket } = (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(owner.token) })).json()
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}/ws`, ['keel.v1', `ticket.${ticket}`])
  t.teardown(() => socket.close())
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject })
  t.equal(socket.protocol, 'keel.v1')
  const message = new Promise<Message>(resolve => { socket.onmessage = ({ data }) => resolve(JSON.parse(data)) })
  socket.send(JSON.stringify(subscribe('orders')))
  t.match(await message, { type: 'subscribed', topic: 'orders' })
})

// What clients get, also those who were away for a while.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { bearer, newProduct, registered } from '../helpers/app.ts'
import { connect, next, urlOf } from '../helpers/socketio.ts'
import { listening, tokenOf } from '../helpers/socketio-service.ts'

/** A new order; gives its id. */
const order = async (app: FastifyInstance, token: string, productId: string) => (await app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload: { items: [{ productId, quantity: 1 }] } })).json().id as string

t.test('a connection ends with its token, and goes on with another', async t => {
  const app = await listening(t, { ACCESS_TOKEN_TTL: 4_000 })
  const id = randomUUID()
  const one = await connect(t, urlOf(app), '', { auth: answer => answer({ token: tokenOf(app, id) }), reconnectionDelay: 10 })
  t.match(await one.until('goodbye'), [{ code: 'TOKEN_EXPIRED' }])
  await one.until('welcome', 2)
  t.equal(one.of('welcome').at(-1)?.userId, id)
})

t.test('events come once each and in order, also to who was away', async t => {
  const app = await listening(t)
  const [mine, other] = [await registered(app), await registered(app)]
  const { id: productId } = await newProduct(app, { stock: 1000 })
  const first = await connect(t, urlOf(app), mine.token)
  const stranger = await connect(t, urlOf(app), other.token)
  const orders: string[] = []
  for (let n = 0; n < 3; n++) orders.push(await order(app, mine.token, productId))
  t.match(await first.until('order', 3), orders.map(orderId => ({ type: 'order.created', orderId })))
  const { id: lastEventId } = first.of('order').at(-1) as { id: string }
  first.socket.disconnect()
  for (let n = 0; n < 3; n++) orders.push(await order(app, mine.token, productId))
  const again = await connect(t, urlOf(app), '', { auth: { token: mine.token, lastEventId } })
  t.same((await again.until('order', 3)).map(({ orderId }) => orderId), orders.slice(3))
  for (const [lastEventId, reason] of [['x', 'malformed'], ['999999999', 'future']]) {
    const lost = await connect(t, urlOf(app), '', { auth: { token: mine.token, lastEventId } })
    t.match(await lost.until('reset'), [{ reason, id: /^\d+$/ }])
  }
  t.same(stranger.of('order'), [], 'nobody gets those of others')
  const without = await connect(t, urlOf(app), tokenOf(app, mine.id, []))
  await order(app, mine.token, productId)
  await again.until('order', 4)
  t.same(without.of('order'), [], 'nor without the scope')
})

t.test('who loses the connection for a moment gets what was said meanwhile, once', async t => {
  const app = await listening(t)
  const [one, two] = [await connect(t, urlOf(app), tokenOf(app)), await connect(t, urlOf(app), tokenOf(app), { reconnectionDelay: 300, randomizationFactor: 0 })]
  for (const client of [one, two]) await client.ask('chat.enter', { room: 'a' })
  await one.ask('chat.say', { room: 'a', text: '0' })
  await two.until('chat.message')
  two.socket.io.engine.close()
  for (const text of ['1', '2', '3']) t.match(await one.ask('chat.say', { room: 'a', text }), { data: { text } })
  await two.until('welcome', 2)
  t.equal(two.of('welcome')[1]?.recovered, true)
  await one.ask('chat.say', { room: 'a', text: '4' })
  t.same((await two.until('chat.message', 5)).map(({ text }) => text), ['0', '1', '2', '3', '4'])
  await two.ask('chat.leave', { room: 'a' })
  t.match(await two.ask('chat.say', { room: 'a', text: '5' }), { error: { code: 'NOT_FOUND' } })
})

t.test('nobody comes back as somebody else', async t => {
  const app = await listening(t)
  let token = tokenOf(app)
  const one = await connect(t, urlOf(app), '', { auth: answer => answer({ token }), reconnectionDelay: 10 })
  await one.ask('chat.enter', { room: 'a' })
  token = tokenOf(app)
  const refused = next(one.socket, 'connect_error')
  one.socket.io.engine.close()
  t.match(await refused, { data: { code: 'FORBIDDEN' } })
})

// Socket.IO beside the WebSocket: who gets in, what clients may send, what they get, and how it ends.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as openSocket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { Config } from '../../plugins/config/index.ts'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { inBrowser, startBrowser } from '../helpers/browser.ts'
import { until } from '../helpers/until.ts'
import { buildLogged } from '../helpers/log.ts'
import { open, portOf } from '../helpers/socket.ts'
import { client, connect, next, urlOf, type Client } from '../helpers/socketio.ts'

const page = 'https://app.example.com'

async function listening (t: Test, overrides: Partial<Config> = {}, extend?: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = await buildApp(t, { ALLOWED_ORIGINS: [page], ...overrides }, extend)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/** A token of nobody in particular. */
const tokenOf = (app: FastifyInstance, id: string = randomUUID(), scopes = ['orders:read', 'orders:write']) => app.accessTokens.issue({ id, scopes }).accessToken

/** Why a client does not get in. */
async function refusal (t: Test, app: FastifyInstance, options: Parameters<typeof client>[2]): Promise<{ message: string, data?: { code: string, status: number } }> {
  const { socket } = client(t, urlOf(app), { reconnection: false, ...options })
  const refused = next(socket, 'connect_error')
  socket.connect()
  return await refused as never
}

/** The answer to a request for an upgrade, as it is on the wire. */
async function raw (app: FastifyInstance, path: string, headers: Record<string, string> = {}): Promise<string> {
  const socket = openSocket(portOf(app), '127.0.0.1')
  socket.write([`GET ${path} HTTP/1.1`, ...Object.entries({ Host: 'x', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...headers }).map(pair => pair.join(': ')), '', ''].join('\r\n'))
  const [data] = await once(socket, 'data') as [Buffer]
  socket.destroy()
  return String(data)
}

/** A new order; gives its id. */
const order = async (app: FastifyInstance, token: string, productId: string) => (await app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload: { items: [{ productId, quantity: 1 }] } })).json().id as string

t.test('a token gets in, in the handshake or as a header, and is greeted', async t => {
  const app = await listening(t)
  const { id, token } = await registered(app)
  const one = await connect(t, urlOf(app), token)
  t.match(one.of('welcome'), [{ userId: id, recovered: false, lastEventId: /^\d+$/ }])
  const two = client(t, urlOf(app), { extraHeaders: { authorization: `Bearer ${token}` } })
  two.socket.connect()
  await two.until('welcome')
  t.equal(app.socketio.size, 2)
  await app.socketio.publish(`user:${id}`, 'note', { n: 1 })
  t.same(await Promise.all([one, two].map(async one => (await one.until('note'))[0])), [{ n: 1 }, { n: 1 }], 'a user has a room')
  t.match((await app.inject('/metrics')).body, /socketio_connections 2/)
  one.socket.disconnect()
  await until(() => app.socketio.size === 1)
})

t.test('without a good token nobody gets in', async t => {
  const app = await listening(t)
  const token = tokenOf(app)
  for (const [name, auth, code] of [
    ['none', undefined, 'UNAUTHORIZED'],
    ['an empty one', { token: '' }, 'UNAUTHORIZED'],
    ['one that is no text', { token: { $ne: 1 } }, 'UNAUTHORIZED'],
    ['a forged one', { token: `${token.slice(0, -4)}AAAA` }, 'UNAUTHORIZED'],
    ['a long one', { token: 'x'.repeat(10_000) }, 'UNAUTHORIZED'],
    ['a position that is no text', { token, lastEventId: 1 }, 'BAD_REQUEST']
  ] as const) t.match(await refusal(t, app, { auth: auth as object }), { message: code, data: { code, status: Number, detail: String } }, name)
  t.equal(app.socketio.size, 0)
})

t.test('pages of strangers don\'t get to the handshake', async t => {
  const app = await listening(t)
  const token = tokenOf(app)
  for (const origin of [page, urlOf(app)]) t.ok(await connect(t, urlOf(app), token, { extraHeaders: { origin } }), origin)
  for (const origin of ['https://evil.example.com', 'null', `${page}.evil.com`]) {
    t.match(await raw(app, '/socket.io/?EIO=4&transport=websocket', { Origin: origin }), /^HTTP\/1.1 403 [^]*problem\+json/, origin)
    t.match(await refusal(t, app, { auth: { token }, extraHeaders: { origin } }), { message: /websocket/ })
  }
})

t.test('what is no handshake is a problem, and the WebSocket of the kit is as it was', async t => {
  const app = await listening(t)
  for (const [path, status] of [['/socket.io/', 400], ['/socket.io/?EIO=3&transport=websocket', 400], ['/socket.io/?EIO=4&transport=polling', 400], ['/socket.io/?EIO=4&transport=websocket&sid=x', 400], ['/socket.io/x?EIO=4&transport=websocket', 404]] as const) {
    t.match(await raw(app, path), new RegExp(`^HTTP/1.1 ${status} [^]*problem\\+json`), path)
    t.equal((await app.inject(path)).statusCode, status, path)
  }
  t.match(await app.inject('/socket.io/?EIO=4&transport=websocket'), { statusCode: 426, headers: { upgrade: 'websocket' } })
  t.match(await raw(app, '/socket.io/?EIO=4&transport=websocket', { 'Sec-WebSocket-Version': '8' }), /^HTTP\/1.1 426 /)
  const { token } = await registered(app)
  const socket = await open(t, app, { token })
  const one = await connect(t, urlOf(app), token)
  t.match(await socket.ask({ type: 'subscribe', topic: 'orders' }), { type: 'subscribed' })
  t.match(await one.ask('chat.enter', { room: 'a' }), { data: null })
  t.match(await raw(app, '/health/live'), /^HTTP\/1.1 200 /)
})

t.test('upgrades count as requests of a client address', async t => {
  const app = await listening(t, { RATE_LIMIT_MAX: 2 })
  const statuses = []
  for (let n = 0; n < 3; n++) statuses.push((await raw(app, '/socket.io/?EIO=4&transport=websocket')).slice(9, 12))
  t.same(statuses, ['101', '101', '429'])
})

t.test('what clients send is held against its schema, and every answer is an acknowledgement', async t => {
  const app = await listening(t, {}, app => app.register(async ({ socketio }) => {
    socketio.on('fails', { payload: Type.Object({}), scopes: [], handler: () => { throw new Error('a secret') } })
    socketio.on('admin', { payload: Type.Object({}), scopes: ['products:write'], handler: () => 'yes' })
    t.throws(() => socketio.on('fails', { payload: Type.Object({}), scopes: [], handler: () => {} }), /declared twice/)
  }))
  const one = await connect(t, urlOf(app), tokenOf(app))
  for (const [name, args, code] of [
    ['an unknown event', ['nothing', {}], 'UNKNOWN_EVENT'],
    ['no payload', ['chat.enter'], 'INVALID_MESSAGE'],
    ['another type', ['chat.enter', 'room'], 'INVALID_MESSAGE'],
    ['a field too many', ['chat.enter', { room: 'a', admin: true }], 'INVALID_MESSAGE'],
    ['a room that can\'t be', ['chat.enter', { room: 'user:x' }], 'INVALID_MESSAGE'],
    ['bytes', ['chat.enter', Buffer.from('x')], 'INVALID_MESSAGE'],
    ['two payloads', ['chat.enter', { room: 'a' }, {}], 'INVALID_MESSAGE'],
    ['a scope that is not there', ['admin', {}], 'FORBIDDEN'],
    ['a room that one is not in', ['chat.say', { room: 'b', text: 'x' }], 'NOT_FOUND'],
    ['a fault of the service', ['fails', {}], 'INTERNAL_ERROR']
  ] as [string, [string, ...unknown[]], string][]) {
    const { error } = await one.ask(...args)
    t.match(error, { code, status: Number, title: String, detail: String }, name)
    t.notMatch(JSON.stringify(error), /secret/)
  }
  one.socket.emit('nothing', {})
  t.match(await one.until('fault'), [{ event: 'nothing', error: { code: 'UNKNOWN_EVENT' } }])
  t.match((await app.inject('/metrics')).body, /socketio_messages_total\{event="unknown",outcome="UNKNOWN_EVENT"\} 2/)
  await Promise.race([Promise.all(Array.from({ length: 10 }, async () => await one.ask('nothing', {}).catch(() => {}))), next(one.socket, 'disconnect')])
  t.match(await one.until('goodbye'), [{ code: 'TOO_MANY_INVALID_MESSAGES' }])
})

t.test('limits: messages in a second, the size of one, connections of a user', async t => {
  const app = await listening(t, { WS_MESSAGES_MAX: 20, WS_CONNECTIONS_MAX: 2 })
  const token = tokenOf(app)
  const [one, two] = [await connect(t, urlOf(app), token, { reconnection: false }), await connect(t, urlOf(app), token, { reconnection: false })]
  t.match(await refusal(t, app, { auth: { token } }), { data: { code: 'RATE_LIMITED', status: 429 } })
  for (let n = 0; n < 200; n++) one.socket.emit('chat.enter', { room: 'a' })
  t.match(await one.until('goodbye'), [{ code: 'TOO_MANY_MESSAGES' }])
  const gone = next(two.socket, 'disconnect')
  two.socket.emit('chat.say', { room: 'a', text: 'x'.repeat(20_000) })
  await gone
  await until(() => app.socketio.size === 0)
  t.ok(await connect(t, urlOf(app), token), 'who has gone makes room')
})

t.test('a client that does not read is cut off', async t => {
  const app = await listening(t)
  const id = randomUUID()
  const one = await connect(t, urlOf(app), tokenOf(app, id), { reconnection: false })
  const stream = (one.socket.io.engine.transport as unknown as { ws: { _socket: { pause: () => void } } }).ws._socket
  stream.pause()
  const text = 'x'.repeat(8_000)
  await until(async () => {
    for (let n = 0; n < 100; n++) await app.socketio.publish(`user:${id}`, 'note', { text })
    return app.socketio.size === 0
  })
})

t.test('a connection ends with its token, and goes on with another', async t => {
  const app = await listening(t, { ACCESS_TOKEN_TTL: 2_000 })
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

t.test('a stop tells clients, and waits for none', async t => {
  const { app, lines } = await buildLogged(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const url = urlOf(app)
  const one = await connect(t, url, tokenOf(app))
  const mute = openSocket(portOf(app), '127.0.0.1')
  mute.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  await once(mute, 'data')
  await app.close()
  t.match(await one.until('goodbye'), [{ code: 'GOING_AWAY' }])
  t.ok(one.socket.active, 'it is going to come back')
  t.match(lines.find(({ msg }) => msg === 'socket.io client gone'), { reason: 'GOING_AWAY', userId: String, seconds: Number })
  t.notOk(lines.some(({ msg }) => /takes too long/.test(msg)))
  mute.destroy()
})

t.test('with the database away a client is told so, and one that follows nothing is there', async t => {
  const app = await listening(t, { DATABASE_URL: 'postgresql://postgres@127.0.0.1:1/none' })
  const one = client(t, urlOf(app), { auth: { token: tokenOf(app) }, reconnection: false })
  one.socket.connect()
  t.match(await one.until('goodbye'), [{ code: 'UNAVAILABLE' }])
  const two = await connect(t, urlOf(app), tokenOf(app, randomUUID(), []))
  t.match(await two.ask('chat.enter', { room: 'a' }), { data: null })
  await until(() => app.socketio.size === 1)
})

t.test('settings that don\'t go together stop the start', async t => {
  await t.rejects(listening(t, { SOCKETIO_ADAPTER: 'redis' }), { message: /set REDIS_URL/ })
})

t.test('from a browser', inBrowser, async t => {
  const app = await listening(t)
  const browser = await startBrowser(t)
  const tab = await browser.newPage({ bypassCSP: true })
  await tab.goto(`${urlOf(app)}/health/live`)
  await tab.addScriptTag({ content: readFileSync('node_modules/socket.io-client/dist/socket.io.min.js', 'utf8') })
  const id = randomUUID()
  const other: Client = await connect(t, urlOf(app), tokenOf(app))
  await other.ask('chat.enter', { room: 'a' })
  const answer = await tab.evaluate(async token => {
    const { io } = globalThis as unknown as { io: (options: object) => { once: (name: string, listener: (data: unknown) => void) => void, emitWithAck: (name: string, data: object) => Promise<unknown> } }
    const socket = io({ transports: ['websocket'], auth: { token } })
    const welcome = await new Promise(resolve => { socket.once('welcome', resolve) })
    await socket.emitWithAck('chat.enter', { room: 'a' })
    const message = new Promise(resolve => { socket.once('chat.message', resolve) })
    await socket.emitWithAck('chat.say', { room: 'a', text: 'from a browser' })
    return { welcome, message: await message }
  }, tokenOf(app, id))
  t.match(answer, { welcome: { userId: id }, message: { from: id, text: 'from a browser' } })
  t.match(await other.until('chat.message'), [{ from: id, text: 'from a browser' }])
})

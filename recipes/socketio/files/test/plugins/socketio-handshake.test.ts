// Who gets in: the handshake of Socket.IO.
import t from 'tap'
import { registered } from '../helpers/app.ts'
import { open } from '../helpers/socket.ts'
import { client, connect, urlOf } from '../helpers/socketio.ts'
import { listening, page, raw, refusal, tokenOf } from '../helpers/socketio-service.ts'
import { until } from '../helpers/until.ts'

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

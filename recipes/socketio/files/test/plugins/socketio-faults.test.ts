// A service that stops, a database that is away, settings that can't be.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect as openSocket } from 'node:net'
import t from 'tap'
import { buildLogged } from '../helpers/log.ts'
import { portOf } from '../helpers/socket.ts'
import { client, connect, urlOf } from '../helpers/socketio.ts'
import { listening, tokenOf } from '../helpers/socketio-service.ts'
import { until } from '../helpers/until.ts'

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

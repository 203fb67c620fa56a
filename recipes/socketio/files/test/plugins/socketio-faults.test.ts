// A service that stops, a database that is away, settings that can't be, clients that keep to no rule.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect as openSocket } from 'node:net'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
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

/** A connection below Socket.IO, on which a test says what it likes. Ends with the test. */
async function below (t: Test, app: FastifyInstance): Promise<{ socket: WebSocket, got: string[] }> {
  const socket = new WebSocket(`${urlOf(app).replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`)
  t.teardown(() => socket.terminate())
  const got: string[] = []
  socket.on('message', data => { got.push((data as Buffer).toString()) }).on('error', () => {})
  await until(() => got.length > 0)
  return { socket, got }
}

t.test('an event whose name is no text is refused, and the service goes on', async t => {
  const app = await listening(t)
  const { socket, got } = await below(t, app)
  socket.send(`40${JSON.stringify({ token: tokenOf(app) })}`)
  await until(() => got.some(text => text.includes('"welcome"')))
  for (const packet of ['42[1]', '42[-1.5,{}]', '421[1]']) socket.send(packet)
  const answers = await until(() => got.filter(text => text.includes('UNKNOWN_EVENT')).length === 3 ? got : undefined)
  t.match(answers.filter(text => text.includes('UNKNOWN_EVENT')), [/^42\["fault",\{"event":"1"/, /^42\["fault",\{"event":"-1\.5"/, /^431\[/])
  t.ok(await connect(t, urlOf(app), tokenOf(app)))
})

t.test('who leaves does not stay below', async t => {
  const app = await listening(t)
  const { socket, got } = await below(t, app)
  socket.send(`40${JSON.stringify({ token: tokenOf(app) })}`)
  await until(() => got.some(text => text.includes('"welcome"')))
  const closed = once(socket, 'close')
  socket.send('41')
  await closed
  t.equal(app.socketio.size, 0)
})

t.test('who is refused has to connect anew, and nobody asks many times at once', async t => {
  const app = await listening(t)
  const one = await below(t, app)
  const refused = once(one.socket, 'close')
  one.socket.send('40{"token":"x"}')
  await refused
  t.ok(one.got.some(text => text.startsWith('44') && text.includes('UNAUTHORIZED')), 'it is told why')

  const two = await below(t, app)
  const closed = once(two.socket, 'close')
  for (let n = 0; n < 2_000; n++) two.socket.send('40{"token":"x"}')
  await closed
  t.ok(two.got.filter(text => text.startsWith('44')).length <= 21, `${two.got.length} answers`)
})

t.test('what is kept for those who come back has an end', async t => {
  const app = await listening(t)
  for (let n = 0; n < 10_100; n++) await app.socketio.publish('a', 'note', { n })
  const { packets } = app.socketio.io.of('/').adapter as unknown as { packets: unknown[] }
  t.equal(packets.length, 10_000)
})

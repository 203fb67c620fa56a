// What clients may send, how much of it, and how fast they have to read.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { Type } from 'typebox'
import { connect, next, urlOf } from '../helpers/socketio.ts'
import { listening, refusal, tokenOf } from '../helpers/socketio-service.ts'
import { until } from '../helpers/until.ts'

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

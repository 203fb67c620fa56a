// What can be wrong with a client of a WebSocket, over real sockets. The service lives through all of it.
import type { Socket } from 'node:net'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { registered } from '../helpers/app.ts'
import { setClockBack } from '../helpers/clock.ts'
import { SOCKET, recordReservations, withReservationStreams } from '../helpers/reservation-streams.ts'
import { frame, listening as listeningWith, open as openAt, openRaw as openRawAt, type Client, type ConnectOptions } from '../helpers/socket.ts'

/** The service with topics of the tests' own, and clients of the WebSocket that has them. */
const listening = async (t: Test, overrides: Partial<Config> = {}): Promise<FastifyInstance> => await listeningWith(t, overrides, withReservationStreams)
const open = async (t: Test, app: FastifyInstance, options: ConnectOptions): Promise<Client> => await openAt(t, app, { ...options, path: SOCKET })
const openRaw = async (t: Test, app: FastifyInstance, token: string): Promise<Socket> => await openRawAt(t, app, token, SOCKET)

const app = await listening(t, { WS_CONNECTIONS_MAX: 1000 })
const user = await registered(app)
const subscribe = (topic: string, rest: object = {}) => ({ type: 'subscribe', topic, ...rest })

t.test('a connection leaves nothing of its request behind: no timer of its deadline', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  const clients = []
  for (let n = 0; n < 10; n++) clients.push(await open(t, app, user))
  t.ok(timers() < before + clients.length, `${timers() - before} timers more`)
  for (const { socket } of clients) socket.close()
})

t.test('what is no message of the protocol is answered by an error', async t => {
  for (const [code, text] of [
    ['MALFORMED_MESSAGE', ''],
    ['MALFORMED_MESSAGE', '{'],
    ['MALFORMED_MESSAGE', 'subscribe'],
    ['MALFORMED_MESSAGE', '{"type":"ping"}}'],
    ['UNKNOWN_TYPE', 'null'],
    ['UNKNOWN_TYPE', '[]'],
    ['UNKNOWN_TYPE', '"ping"'],
    ['UNKNOWN_TYPE', '{}'],
    ['UNKNOWN_TYPE', '{"type":"publish","topic":"reservations"}'],
    ['UNKNOWN_TYPE', '{"type":"toString"}'],
    ['UNKNOWN_TYPE', '{"type":"__proto__"}'],
    ['UNKNOWN_TYPE', '{"type":["ping"]}'],
    ['INVALID_MESSAGE', '{"type":"ping","extra":1}'],
    ['INVALID_MESSAGE', '{"type":"ping","__proto__":{"x":1}}'],
    ['INVALID_MESSAGE', '{"type":"subscribe"}'],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":1}'],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":""}'],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":"a b"}'],
    ['INVALID_MESSAGE', `{"type":"subscribe","topic":"${'x'.repeat(201)}"}`],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":"reservations","lastEventId":1}'],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":"reservations","lastEventId":null}'],
    ['INVALID_MESSAGE', `{"type":"subscribe","topic":"reservations","lastEventId":"${'1'.repeat(65)}"}`],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":"reservations","window":0}'],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":"reservations","window":1001}'],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":"reservations","window":"5"}'],
    ['INVALID_MESSAGE', '{"type":"subscribe","topic":"reservations","lastEventID":"1"}'],
    ['INVALID_MESSAGE', '{"type":"unsubscribe"}'],
    ['INVALID_MESSAGE', '{"type":"ack","topic":"reservations"}'],
    ['INVALID_MESSAGE', '{"type":"ack","topic":"reservations","id":"x"}'],
    ['INVALID_MESSAGE', `{"type":"ping","a":${'['.repeat(2000)}${']'.repeat(2000)}}`]
  ] as const) {
    const client = await open(t, app, user)
    client.socket.send(text)
    t.match(await client.next(), { type: 'error', code, detail: /\w/ }, text.slice(0, 80))
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'and the connection goes on')
    client.socket.close()
  }
})

t.test('the error names what is wrong', async t => {
  const client = await open(t, app, user)
  client.socket.send('{"type":"subscribe","topic":1,"windov":5}')
  const { detail } = await client.next()
  t.match(detail, /\/windov is not a known field/)
  t.match(detail, /\/topic must be string/)
})

t.test('however many fields are unknown', async t => {
  const client = await open(t, app, user)
  for (const count of [7, 8, 500]) {
    client.socket.send(JSON.stringify({ type: 'ping', ...Object.fromEntries(Array.from({ length: count }, (_, n) => [`field${n}`, n])) }))
    t.match((await client.next()).detail, /^\/field0 is not a known field, .*, …\.$/)
  }
})

t.test('after so many the connection is closed', async t => {
  const client = await open(t, app, user)
  for (let i = 0; i < 20; i++) client.socket.send('x')
  t.match(await client.closed, { code: 1008, reason: 'too many invalid messages' })
  t.equal(client.messages.length, 10)
})

t.test('a binary message closes with 1003', async t => {
  const client = await open(t, app, user)
  client.socket.send(Buffer.from('{"type":"ping"}'))
  t.match(await client.closed, { code: 1003 })
  t.same(client.messages, [])
})

t.test('a message of 10 MB closes with 1009, whole or in parts', async t => {
  const whole = await open(t, app, user)
  whole.socket.send('x'.repeat(10 * 1024 * 1024))
  t.match(await whole.closed, { code: 1009 })
  const parts = await open(t, app, user)
  for (let i = 0; i < 100; i++) parts.socket.send('x'.repeat(1024), { fin: false })
  t.match(await parts.closed, { code: 1009 })
})

t.test('16 KiB are taken, a byte more is not', async t => {
  const client = await open(t, app, user)
  client.socket.send('x'.repeat(16 * 1024))
  t.match(await client.next(), { code: 'MALFORMED_MESSAGE' })
  client.socket.send('x'.repeat(16 * 1024 + 1))
  t.match(await client.closed, { code: 1009 })
})

t.test('what is not UTF-8 closes with 1007', async t => {
  const client = await open(t, app, user)
  client.socket.send(Buffer.from([0x22, 0xff, 0xfe, 0x22]), { binary: false })
  t.match(await client.closed, { code: 1007 })
})

t.test('frames that are none', async t => {
  for (const [name, bytes, code] of [
    ['without a mask', Buffer.from([0x81, 0x01, 0x78]), 1002],
    ['with reserved bits', Buffer.from([0xf1, 0x81, 0, 0, 0, 0, 0x78]), 1002],
    ['of an unknown kind', Buffer.from([0x83, 0x81, 0, 0, 0, 0, 0x78]), 1002],
    ['that go on with nothing', Buffer.from([0x80, 0x81, 0, 0, 0, 0, 0x78]), 1002],
    ['that say they are 2^63 bytes', Buffer.from([0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), 1009]
  ] as const) {
    const socket = await openRaw(t, app, user.token)
    socket.write(bytes)
    t.equal(await closeCode(socket), code, name)
  }
})

t.test('a connection follows a hundred topics and no more', async t => {
  const patient = await listening(t, { WS_MESSAGES_MAX: 1_000_000 })
  const client = await open(t, patient, user)
  // What does not exist makes room again: these are refused one after the other.
  for (let i = 0; i < 150; i++) t.match(await client.ask(subscribe(`reservations/${randomUUID()}`)), { code: 'NOT_FOUND' })
  for (let i = 0; i < 10_000; i++) client.send(subscribe(`reservations/${randomUUID()}`))
  const codes = new Map<string, number>()
  for (let i = 0; i < 10_000; i++) {
    const { code = '' } = await client.next()
    codes.set(code, (codes.get(code) ?? 0) + 1)
  }
  t.same([...codes.keys()].sort(), ['NOT_FOUND', 'TOO_MANY_SUBSCRIPTIONS'])
  t.match(await client.ask(subscribe('reservations')), { type: 'subscribed' })
})

t.test('a flood', async t => {
  t.test('of messages is closed with 1008, and most are not even read', async t => {
    const client = await open(t, app, user)
    for (let i = 0; i < 10_000; i++) client.socket.send('{"type":"ping"}')
    t.match(await client.closed, { code: 1008, reason: 'too many messages' })
    t.ok(client.messages.length < 1000)
  })

  t.test('of pings is ended, by the library when the client is too quick to be answered', async t => {
    const client = await open(t, app, user)
    for (let i = 0; i < 1000; i++) client.socket.ping()
    t.ok([1006, 1008].includes((await client.closed).code))
  })

  t.test('of subscriptions of one topic, too', async t => {
    const client = await open(t, app, user)
    for (let i = 0; i < 1000; i++) client.send(subscribe('reservations'))
    t.match(await client.closed, { code: 1008 })
  })
})

t.test('a client that is not there any more is cut off, one that answers pings is not', async t => {
  const quick = await listening(t, { WS_PING_INTERVAL: 500 })
  const alive = await open(t, quick, user)
  const silent = await openRaw(t, quick, user.token)
  silent.resume()
  let pings = 0
  alive.socket.on('ping', () => pings++)
  await new Promise(resolve => silent.once('close', resolve))
  await until(() => pings > 2)
  t.match(await alive.ask({ type: 'ping' }), { type: 'pong' })
  t.equal(quick.sockets.size, 1)
})

t.test('a clock that is set back holds up no ping', async t => {
  const quick = await listening(t, { WS_PING_INTERVAL: 50 })
  const client = await open(t, quick, user)
  setClockBack(t)
  let pings = 0
  client.socket.on('ping', () => pings++)
  await until(() => pings > 2)
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
})

t.test('a client that does not read is let go, and nobody waits for it', async t => {
  const [slow, quick] = [await registered(app), await open(t, app, user)]
  const socket = await openRaw(t, app, slow.token)
  socket.pause()
  socket.write(frame(JSON.stringify(subscribe('reservations'))))
  const before = app.sockets.size
  // The kernel takes some megabytes for it.
  for (let i = 0; i < 50 && app.sockets.size === before; i++) await recordReservations(app, slow.id, 20, 31_500)
  await until(() => app.sockets.size < before)
  t.match(await quick.ask(subscribe('reservations')), { type: 'subscribed' })
  await recordReservations(app, user.id)
  t.match(await quick.next(), { type: 'event' })
})

t.test('a client that comes back after megabytes gets them as fast as it reads', async t => {
  const late = await registered(app)
  const first = await open(t, app, late)
  const { id } = await first.ask(subscribe('reservations'))
  await recordReservations(app, late.id, 520, 10_500)
  for (const fastify of [app, await listening(t)]) {
    const client = await open(t, fastify, late)
    await client.ask(subscribe('reservations', { lastEventId: id }))
    const ids: bigint[] = []
    while (ids.length < 520) ids.push(BigInt((await client.next()).event!.id))
    t.ok(ids.every((id, index) => index === 0 || id > ids[index - 1]!))
  }
})

t.test('when its token expires the connection is closed with 4401', async t => {
  const short = await listening(t, { ACCESS_TOKEN_TTL: 4000 })
  const { accessToken: token } = short.accessTokens.issue({ id: user.id, scopes: [] })
  const client = await open(t, short, { token })
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
  t.match(await client.closed, { code: 4401, reason: 'the access token has expired' })
})

t.test('a shutdown says 1001 at once and waits for nobody', async t => {
  const stopping = await listening(t)
  const clients = await Promise.all(Array.from({ length: 10 }, () => open(t, stopping, user)))
  await clients[0]?.ask(subscribe('reservations'))
  const deaf = await openRaw(t, stopping, user.token)
  deaf.pause()
  const closing = stopping.close()
  for (const { closed } of clients) t.match(await closed, { code: 1001 })
  await closing
  await until(() => stopping.sockets.size === 0)
})

t.test('clients that vanish leave nothing behind', async t => {
  const empty = await listening(t)
  const clients = await Promise.all(Array.from({ length: 20 }, () => open(t, empty, user)))
  for (const client of clients) await client.ask(subscribe('reservations'))
  t.equal(empty.events.subscribers, 20)
  for (const { socket } of clients) socket.terminate()
  await until(() => empty.sockets.size === 0)
  t.equal(empty.events.subscribers, 0)
})

async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10)
}

/** The code of the close frame that comes next. */
async function closeCode (socket: Socket): Promise<number> {
  const bytes = await new Promise<Buffer>(resolve => socket.once('data', resolve))
  return bytes[0] === 0x88 ? bytes.readUInt16BE(2) : NaN
}

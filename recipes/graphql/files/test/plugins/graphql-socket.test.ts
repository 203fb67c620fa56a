// The protocol of graphql-ws by hand: what breaks it, how much a connection may have, and how it ends.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { registered } from '../helpers/app.ts'
import { recordEvents } from '../helpers/graphql.ts'
import { UPDATES, follow, listening, open, openRaw } from '../helpers/graphql-socket.ts'
import { frame } from '../helpers/socket.ts'

const app = await listening(t, { WS_CONNECTIONS_MAX: 1000 })
const user = await registered(app)

t.test('what is none of the protocol closes the connection, by its codes', async t => {
  for (const [name, act, code] of [
    ['no JSON', client => client.socket.send('{'), 4400],
    ['an unknown type', client => client.send({ type: 'start' }), 4400],
    ['a list', client => client.socket.send('[]'), 4400],
    ['no query', client => client.send({ id: 'x', type: 'subscribe', payload: {} }), 4400],
    ['an id that is none', client => client.send({ id: 1, type: 'subscribe', payload: { query: UPDATES } }), 4400],
    ['a binary message', client => client.socket.send(Buffer.from('{"type":"ping"}')), 1003],
    ['a second beginning', client => client.send({ type: 'connection_init' }), 4429],
    ['an id twice', client => { client.subscribe({ query: UPDATES }, 'x'); client.subscribe({ query: UPDATES }, 'x') }, 4409],
    ['too large', client => client.socket.send('x'.repeat(17 * 1024)), 1009],
    ['a flood', client => { for (let i = 0; i < 1000; i++) client.send({ type: 'ping' }) }, 1008]
  ] as [string, (client: Awaited<ReturnType<typeof open>>) => void, number][]) {
    const client = await open(t, app, user.token)
    act(client)
    t.equal((await client.closed).code, code, name)
  }
  const early = await open(t, app, user.token, { init: false })
  early.subscribe({ query: UPDATES })
  t.equal((await early.closed).code, 4401, 'before it has begun')
  const mute = await open(t, app, user.token, { init: false })
  t.equal((await mute.closed).code, 4408, 'it never begins')
  t.equal((await app.inject('/health/live')).statusCode, 200)
})

t.test('a connection has a hundred subscriptions', async t => {
  const patient = await listening(t, { WS_MESSAGES_MAX: 1_000 })
  const client = await open(t, patient, user.token)
  for (let i = 0; i < 101; i++) client.subscribe({ query: UPDATES }, `s${i}`)
  t.match(await client.next(), { type: 'error', id: 's100', payload: [{ extensions: { code: 'TOO_MANY_STREAMS', status: 429 } }] })
  client.send({ id: 's0', type: 'complete' })
  const until = async (count: number) => { while (patient.events.subscribers !== count) await sleep(5) }
  await until(99)
  client.socket.close()
  await until(0)
})

t.test('a client that is not there any more is cut off, and one whose token expires is told', async t => {
  const quick = await listening(t, { WS_PING_INTERVAL: 200, ACCESS_TOKEN_TTL: 4_000 })
  const silent = await openRaw(t, quick, user.token)
  silent.resume()
  await new Promise(resolve => silent.once('close', resolve))
  const client = await open(t, quick, quick.accessTokens.issue({ id: user.id, scopes: ['orders:read'] }).accessToken)
  t.match(await client.closed, { code: 4401, reason: 'the access token has expired' })
})

t.test('a client that does not read is let go, and nobody waits for it', async t => {
  const slow = await registered(app)
  const socket = await openRaw(t, app, slow.token)
  await recordEvents(app, slow.id, 1)
  socket.pause()
  const before = [app.sockets.size, app.events.subscribers]
  socket.write(frame(JSON.stringify({ type: 'connection_init' })))
  socket.write(frame(JSON.stringify({ id: 'x', type: 'subscribe', payload: { query: 'subscription { orderUpdates { ... on OrderEvent { id order { id items { productId sku name quantity } } } } }' } })))
  while (app.events.subscribers === before[1]) await sleep(5)
  for (let i = 0; i < 100 && app.sockets.size === before[0]; i++) await recordEvents(app, slow.id, 50, 90)
  while (app.sockets.size >= Number(before[0])) await sleep(20)
  t.equal(app.events.subscribers, before[1])
})

t.test('without the database it is said, and can be tried again on the same connection', async t => {
  const away = await listening(t, { DATABASE_URL: 'postgresql://postgres@127.0.0.1:1/none' })
  const client = await open(t, away, away.accessTokens.issue({ id: user.id, scopes: ['orders:read'] }).accessToken)
  for (let i = 0; i < 2; i++) {
    client.subscribe({ query: UPDATES }, 'x')
    t.match(await client.next(), { type: 'next', payload: { errors: [{ extensions: { code: 'UNAVAILABLE', status: 503 } }] } })
    t.match(await client.next(), { type: 'complete' })
  }
})

t.test('a shutdown says 1001 at once and waits for nobody', async t => {
  const stopping = await listening(t)
  const client = await follow(t, stopping, user.token)
  const deaf = await openRaw(t, stopping, user.token)
  deaf.pause()
  const closing = stopping.close()
  t.match(await client.closed, { code: 1001 })
  await closing
})

// Subscriptions over real WebSockets, by the client of graphql-ws and by hand.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { createClient } from 'graphql-ws'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import type { Config } from '../../plugins/config/index.ts'
import { asAdmin, bearer, newProduct, registered } from '../helpers/app.ts'
import { buildGraphql, recordEvents } from '../helpers/graphql.ts'
import { portOf, refusal } from '../helpers/socket.ts'

interface Update { __typename: string, id: string, type: string, orderId: string, order: { id: string, status: string, user: { id: string }, items: { product: { stock: number } }[] }, reason: string }
interface Result { data?: { orderUpdates: Update } | null, errors?: { message: string, extensions: { code: string, status: number } }[] }
interface Message { type: string, id?: string, payload?: Result & Result['errors'] }

const PROTOCOL = 'graphql-transport-ws'
const path = '/graphql'
const UPDATES = 'subscription ($id: UUID, $after: String) { orderUpdates(id: $id, after: $after) { __typename ... on OrderEvent { id type orderId order { id status } } ... on EventsReset { id reason } } }'

const app = await listening(t, { WS_CONNECTIONS_MAX: 1000 })
const [user, other, admin] = [await registered(app), await registered(app), await asAdmin(app)]
const product = await newProduct(app, { stock: 1_000_000 })
const place = async (token = user.token) => (await app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload: { items: [{ productId: product.id, quantity: 1 }] } })).json().id as string
const take = async (step: string, id: string, token = user.token) => await app.inject({ method: 'POST', url: `/orders/${id}/${step}`, headers: bearer(token) })
const ticketFor = async (token = user.token) => (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(token) })).json().ticket as string

async function listening (t: Test, overrides: Partial<Config> = {}): Promise<FastifyInstance> {
  const app = await buildGraphql(t, overrides)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/** What a message says that happened. */
function updateIn ({ payload }: Message): Update {
  if (!payload?.data) throw new Error(`no update: ${JSON.stringify(payload)}`)
  return payload.data.orderUpdates
}

/** A client by hand: it says what it is told to. */
async function open (t: Test, fastify: FastifyInstance, token: string, { init = true, protocol = PROTOCOL, query = '' } = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(fastify)}${path}${query}`, protocol, { headers: token === '' ? {} : bearer(token) })
  t.teardown(() => socket.terminate())
  const messages: Message[] = []
  const waiting: ((message: Message) => void)[] = []
  let read = 0
  socket.on('message', data => {
    messages.push(JSON.parse(String(data)))
    const waiter = waiting.shift()
    if (waiter) waiter(messages[read++] as Message)
  })
  const closed = new Promise<{ code: number, reason: string }>(resolve => socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })))
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  const client = {
    socket,
    messages,
    closed,
    send: (message: object) => socket.send(JSON.stringify(message)),
    next: async (): Promise<Message> => read < messages.length ? messages[read++] as Message : await new Promise(resolve => waiting.push(resolve)),
    subscribe: (payload: object, id: string = randomUUID()) => { client.send({ id, type: 'subscribe', payload }) }
  }
  if (init) {
    client.send({ type: 'connection_init' })
    t.match(await client.next(), { type: 'connection_ack' })
  }
  return client
}

/** Subscribes, and waits until the service follows for it. */
async function follow (t: Test, fastify: FastifyInstance, token: string, variables: object = {}, query = UPDATES) {
  const client = await open(t, fastify, token)
  const before = fastify.events.subscribers
  client.subscribe({ query, variables })
  while (fastify.events.subscribers === before && client.messages.length === 1) await sleep(5)
  return client
}

t.test('the client of graphql-ws follows one\'s own orders, each change once and in order', async t => {
  class WithToken extends WebSocket {
    constructor (url: string, protocols: string) {
      super(url, protocols, { headers: bearer(user.token) })
    }
  }
  const client = createClient({ url: `ws://127.0.0.1:${portOf(app)}${path}`, webSocketImpl: WithToken, retryAttempts: 0 })
  t.teardown(() => client.dispose())
  const before = app.events.subscribers
  const updates = client.iterate<{ orderUpdates: Update }>({ query: 'subscription { orderUpdates { ... on OrderEvent { type orderId order { status user { id } items { product { stock } } } } } }' })
  const first = updates.next()
  while (app.events.subscribers === before) await sleep(5)
  await place(other.token)
  const id = await place()
  await take('pay', id)
  t.match(await first, { value: { data: { orderUpdates: { type: 'order.created', orderId: id, order: { status: 'pending', user: { id: user.id } } } } } })
  t.match(await updates.next(), { value: { data: { orderUpdates: { type: 'order.paid', order: { status: 'paid' } } } } })
  await app.prisma.product.update({ where: { id: product.id }, data: { stock: 77_777 } })
  await take('ship', id, admin.token)
  t.match(await updates.next(), { value: { data: { orderUpdates: { type: 'order.shipped', order: { items: [{ product: { stock: 77_777 } }] } } } } }, 'nothing is kept from one event to the next')
  await app.prisma.product.update({ where: { id: product.id }, data: { stock: 1_000_000 } })
  await updates.return?.()
  while (app.events.subscribers > before) await sleep(5)
  t.pass('nothing stays when nobody reads any more, though no event came')
})

t.test('who is let in', async t => {
  const protocols = [PROTOCOL]
  t.match(await refusal(t, app, { path, protocols }), { status: 401, problem: { code: 'UNAUTHORIZED' } }, 'nobody')
  t.match(await refusal(t, app, { path, protocols, token: 'e30.e30.e30' }), { status: 401, headers: { 'www-authenticate': /invalid_token/ } })
  t.match(await refusal(t, app, { path, protocols, query: `?ticket=${'x'.repeat(43)}` }), { status: 401, problem: { code: 'INVALID_TICKET' } })
  t.match(await refusal(t, app, { path, protocols, token: user.token, headers: { origin: 'https://evil.example' } }), { status: 403, problem: { code: 'FORBIDDEN' } })
  t.match(await refusal(t, app, { path, protocols: ['graphql-ws'], token: user.token }), { status: 400 }, 'the old protocol')
  t.match(await refusal(t, app, { path, protocols: ['keel.v1'], token: user.token }), { status: 400 })
  t.match(await refusal(t, app, { path: '/ws', protocols, token: user.token }), { status: 400 }, 'nor is GraphQL spoken at /ws')
  const few = await listening(t, { WS_CONNECTIONS_MAX: 1 })
  await open(t, few, user.token)
  t.match(await refusal(t, few, { path, protocols, token: user.token }), { status: 429 })
  const allowed = await listening(t, { ALLOWED_ORIGINS: ['https://shop.example'] })
  const page = new WebSocket(`ws://127.0.0.1:${portOf(allowed)}${path}`, PROTOCOL, { headers: { ...bearer(user.token), origin: 'https://shop.example' } })
  t.teardown(() => page.terminate())
  await new Promise((resolve, reject) => page.on('open', resolve).on('error', reject))
  t.equal(page.protocol, PROTOCOL)
})

t.test('a ticket opens one connection, in the query or among the subprotocols', async t => {
  const ticket = await ticketFor()
  const client = await open(t, app, '', { query: `?ticket=${ticket}` })
  client.subscribe({ query: UPDATES })
  t.match(await refusal(t, app, { path, protocols: [PROTOCOL], query: `?ticket=${ticket}` }), { status: 401, problem: { code: 'INVALID_TICKET' } })
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}`, [PROTOCOL, `ticket.${await ticketFor()}`])
  t.teardown(() => socket.terminate())
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  t.equal(socket.protocol, PROTOCOL)
  const unspent = await ticketFor()
  t.equal((await app.inject(`/graphql?query={__typename}&ticket=${unspent}`)).statusCode, 200)
  await open(t, app, '', { query: `?ticket=${unspent}` })
})

t.test('a connection that offers no subprotocol is told that it must', async t => {
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}`, { headers: bearer(user.token) })
  t.equal(await new Promise(resolve => socket.on('close', resolve)), 4406)
})

t.test('an order of one\'s own can be followed alone; another\'s is not found', async t => {
  const [followed, ignored, foreign] = [await place(), await place(), await place(other.token)]
  const client = await follow(t, app, user.token, { id: followed.toUpperCase() })
  await take('pay', ignored)
  await take('pay', followed)
  t.match(await client.next(), { type: 'next', payload: { data: { orderUpdates: { type: 'order.paid', orderId: followed } } } })
  const refused = await follow(t, app, user.token, { id: foreign })
  t.match(await refused.next(), { type: 'next', payload: { errors: [{ extensions: { code: 'NOT_FOUND', status: 404 } }] } })
  t.match(await refused.next(), { type: 'complete' })
})

t.test('an admin follows everyone\'s; without the scope nobody does', async t => {
  const client = await follow(t, app, admin.token)
  const id = await place(other.token)
  t.match(await client.next(), { payload: { data: { orderUpdates: { orderId: id } } } })
  const limited = app.accessTokens.issue({ id: user.id, scopes: ['orders:write'] }).accessToken
  const refused = await follow(t, app, limited)
  t.match(await refused.next(), { payload: { errors: [{ message: /orders:read/, extensions: { code: 'FORBIDDEN', status: 403 } }] } })
})

t.test('it goes on behind an event that was seen, or says that it can\'t', async t => {
  const reader = await registered(app)
  const ids = [await place(reader.token), await place(reader.token), await place(reader.token)]
  const all = await follow(t, app, reader.token, { after: '0' })
  const seen = [await all.next(), await all.next(), await all.next()].map(updateIn)
  t.same(seen.map(({ orderId }) => orderId), ids)
  const rest = await follow(t, app, reader.token, { after: seen[1]?.id })
  t.match(await rest.next(), { payload: { data: { orderUpdates: { orderId: ids[2] } } } })
  for (const [after, reason] of [['nonsense', 'malformed'], ['999999999999999999', 'future']]) {
    const client = await follow(t, app, reader.token, { after })
    t.match(await client.next(), { payload: { data: { orderUpdates: { __typename: 'EventsReset', id: /^\d+$/, reason } } } })
    const orderId = await place(reader.token)
    t.match(await client.next(), { payload: { data: { orderUpdates: { orderId } } } }, 'and what comes then follows')
  }
})

t.test('what is refused of a subscription ends it alone', async t => {
  const client = await open(t, app, user.token)
  for (const [payload, code] of [
    [{ query: '{' }, 'VALIDATION_FAILED'],
    [{ query: '' }, 'VALIDATION_FAILED'],
    [{ query: '{"kind":"Document","definitions":5}' }, 'VALIDATION_FAILED'],
    [{ query: 'subscription { nothing }' }, 'VALIDATION_FAILED'],
    [{ query: UPDATES, operationName: 'Other' }, 'VALIDATION_FAILED'],
    [{ query: `subscription { ${'a '.repeat(2_100)} }` }, 'VALIDATION_FAILED'],
    [{ query: UPDATES, variables: { id: 'x' } }, 'VALIDATION_FAILED'],
    [{ query: UPDATES.replace('$id: UUID', '$id: UUID!') }, 'VALIDATION_FAILED'],
    [{ query: 'query { __typename }' }, 'BAD_REQUEST'],
    [{ query: 'mutation { __typename }' }, 'BAD_REQUEST'],
    [{ query: '', extensions: { persistedQuery: { sha256Hash: '0' } } }, 'PERSISTED_QUERY_NOT_FOUND']
  ] as const) {
    client.subscribe(payload, 'x')
    const message = await client.next()
    t.match([message.type, message.id, message.payload?.[0]?.extensions.code], ['error', 'x', code], JSON.stringify(payload).slice(0, 80))
  }
  client.send({ type: 'ping' })
  t.match(await client.next(), { type: 'pong' }, 'and the connection goes on')
  const strict = await listening(t, { GRAPHQL_DEPTH_MAX: 1 })
  const shallow = await follow(t, strict, user.token)
  t.match((await shallow.next()).payload?.[0]?.extensions, { code: 'QUERY_TOO_COMPLEX' })
})

t.test('in production only persisted subscriptions are run', async t => {
  const closed = await listening(t, { GRAPHQL_OPERATIONS: 'persisted', GRAPHQL_INTROSPECTION: 'off' })
  const [hash] = Object.entries(JSON.parse(readFileSync('routes/graphql/persisted.json', 'utf8')) as Record<string, string>).find(([, text]) => text.startsWith('subscription')) ?? []
  const client = await open(t, closed, user.token)
  client.subscribe({ query: UPDATES })
  t.match((await client.next()).payload?.[0]?.extensions, { code: 'PERSISTED_QUERY_REQUIRED' })
  client.subscribe({ query: '', extensions: { persistedQuery: { version: 1, sha256Hash: hash } } })
  while (closed.events.subscribers === 0) await sleep(5)
  const id = await place()
  t.match(await client.next(), { payload: { data: { orderUpdates: { order: { id } } } } })
})

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
  const quick = await listening(t, { WS_PING_INTERVAL: 200, ACCESS_TOKEN_TTL: 1_000 })
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
  socket.write(frame({ type: 'connection_init' }))
  socket.write(frame({ id: 'x', type: 'subscribe', payload: { query: 'subscription { orderUpdates { ... on OrderEvent { id order { id items { productId sku name quantity } } } } }' } }))
  while (app.events.subscribers === before[1]) await sleep(5)
  for (let i = 0; i < 100 && app.sockets.size === before[0]; i++) await recordEvents(app, slow.id, 50, 90)
  while (app.sockets.size >= Number(before[0])) await sleep(20)
  t.equal(app.events.subscribers, before[1])
})

t.test('a client that comes back after many events gets all of them', async t => {
  const late = await registered(app)
  await recordEvents(app, late.id, 600)
  const client = await follow(t, app, late.token, { after: '0' }, 'subscription ($after: String) { orderUpdates(after: $after) { ... on OrderEvent { id } } }')
  const ids: bigint[] = []
  while (ids.length < 600) ids.push(BigInt(updateIn(await client.next()).id))
  t.ok(ids.every((id, index) => id > (ids[index - 1] ?? 0n)))
})

t.test('an event that does not fit the schema is masked, and the next one comes', async t => {
  const reader = await registered(app)
  const client = await follow(t, app, reader.token)
  await inTransaction(app.prisma, async tx => await recordEvent(tx, { type: 'order.odd', subject: randomUUID(), ownerId: reader.id, data: { secret: 'the-secret' } }))
  const message = await client.next()
  t.match(message.payload?.errors, [{ message: 'The service failed.', extensions: { code: 'INTERNAL_ERROR' } }])
  t.notMatch(JSON.stringify(message), /secret/)
  const id = await place(reader.token)
  t.match(await client.next(), { payload: { data: { orderUpdates: { orderId: id } } } })
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

/** A connection that answers nothing by itself. */
async function openRaw (t: Test, fastify: FastifyInstance, token: string): Promise<Socket> {
  const socket = connect(portOf(fastify), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${PROTOCOL}\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  const answer = await new Promise<string>(resolve => socket.once('data', chunk => resolve(String(chunk))))
  if (!answer.startsWith('HTTP/1.1 101')) throw new Error(answer)
  return socket
}

/** A masked text frame; a mask of zeros leaves it as it is. */
function frame (message: object): Buffer {
  const data = Buffer.from(JSON.stringify(message))
  const length = data.length < 126 ? Buffer.from([0x80 | data.length]) : Buffer.from([0x80 | 126, data.length >> 8, data.length & 0xff])
  return Buffer.concat([Buffer.from([0x81]), length, Buffer.alloc(4), data])
}

// Subscriptions over real WebSockets, by the client of graphql-ws and by hand.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'graphql-ws'
import t from 'tap'
import { WebSocket } from 'ws'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { bearer, registered } from '../helpers/app.ts'
import { recordEvents } from '../helpers/graphql.ts'
import { orderers } from '../helpers/graphql-orders.ts'
import { UPDATES, follow, listening, open, path, updateIn, type Update } from '../helpers/graphql-socket.ts'
import { portOf } from '../helpers/socket.ts'

const app = await listening(t, { WS_CONNECTIONS_MAX: 1000 })
const { user, other, admin, product, order: place } = await orderers(app)
const take = async (step: string, id: string, token = user.token) => await app.inject({ method: 'POST', url: `/orders/${id}/${step}`, headers: bearer(token) })

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

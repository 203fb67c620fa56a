// What clients of a WebSocket may say of topics, over real sockets. What is wrong with them is in websocket.test.ts.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { trimEvents } from '../../services/events.ts'
import { asAdmin, bearer, registered } from '../helpers/app.ts'
import { SOCKET, recordReservations, withReservationStreams } from '../helpers/reservation-streams.ts'
import { listening as listeningWith, open as openAt, portOf, type Client, type ConnectOptions, type Message } from '../helpers/socket.ts'

const listening = async (t: Test): Promise<FastifyInstance> => await listeningWith(t, {}, withReservationStreams)
const open = async (t: Test, app: FastifyInstance, options: ConnectOptions): Promise<Client> => await openAt(t, app, { ...options, path: SOCKET })

const app = await listening(t)
const other = await listening(t)
const [owner, stranger, admin] = [await registered(app), await registered(app), await asAdmin(app)]
const topic = 'reservations'
const subscribe = (topic: string, rest: object = {}) => ({ type: 'subscribe', topic, ...rest })

/** Something happens that concerns a user; gives to what. */
async function happen (ownerId = owner.id): Promise<string> {
  const [id = ''] = await recordReservations(app, ownerId)
  return id
}

/** To what the next events happened. */
async function subjects (client: Client, count: number): Promise<unknown[]> {
  const ids: unknown[] = []
  while (ids.length < count) ids.push((await client.next()).event?.reservationId)
  return ids
}

t.test('who follows a topic gets the events that its filter lets through', async t => {
  const [client, everything] = [await open(t, app, owner), await open(t, app, admin)]
  t.match(await client.ask(subscribe(topic)), { type: 'subscribed', topic, id: /^\d+$/ })
  t.match(await everything.ask(subscribe('reservations.all')), { type: 'subscribed', topic: 'reservations.all' })
  const [theirs, own] = [await happen(stranger.id), await happen()]
  t.match(await client.next(), { type: 'event', topic, event: { id: /^\d+$/, type: 'reservation.made', reservationId: own, at: /Z$/ } })
  t.same(await subjects(everything, 2), [theirs, own])
})

t.test('a topic with a parameter follows what that names', async t => {
  const [mine, another, theirs] = [await happen(), await happen(), await happen(stranger.id)]
  const client = await open(t, app, owner)
  for (const id of [theirs, randomUUID()]) t.match(await client.ask(subscribe(`${topic}/${id}`)), { type: 'error', code: 'NOT_FOUND', topic: `${topic}/${id}` })
  t.match(await client.ask(subscribe(`${topic}/${mine}`, { lastEventId: '0' })), { type: 'subscribed', topic: `${topic}/${mine}` })
  t.match(await client.next(), { type: 'event', topic: `${topic}/${mine}`, event: { reservationId: mine } })
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, `and nothing of ${another}`)
})

t.test('a topic needs its scopes', async t => {
  const client = await open(t, app, owner)
  t.match(await client.ask(subscribe('reservations.all')), { type: 'error', code: 'FORBIDDEN', topic: 'reservations.all' })
})

for (const name of ['reservation', 'reservations/x', 'reservations/', 'reservationsXall', 'RESERVATIONS', 'reservations/0197FBD2-6F0F-7A5E-B5C0-0B0F2B7F3A11', 'products']) {
  t.test(`there is no topic "${name}"`, async t => {
    const client = await open(t, app, owner)
    client.socket.send(JSON.stringify(subscribe(name)))
    t.match(await client.next(), { type: 'error', code: /^(UNKNOWN_TOPIC|INVALID_MESSAGE)$/ })
  })
}

t.test('a topic is followed once', async t => {
  const client = await open(t, app, owner)
  await client.ask(subscribe(topic))
  t.match(await client.ask(subscribe(topic)), { type: 'error', code: 'ALREADY_SUBSCRIBED', topic })
  const id = await happen()
  t.match(await client.next(), { event: { reservationId: id } })
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'the event came once')
})

t.test('what is unsubscribed from is silent, and can be followed again', async t => {
  const client = await open(t, app, owner)
  await client.ask(subscribe(topic))
  t.match(await client.ask({ type: 'unsubscribe', topic }), { type: 'unsubscribed', topic })
  await happen()
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
  t.match(await client.ask(subscribe(topic)), { type: 'subscribed' })
  const id = await happen()
  t.match(await client.next(), { event: { reservationId: id } })
})

t.test('unsubscribed from while it is being opened, a topic is never followed', async t => {
  const client = await open(t, app, owner)
  const one = `${topic}/${await happen()}`
  client.send(subscribe(one))
  client.send({ type: 'unsubscribe', topic: one })
  t.match(await client.next(), { type: 'unsubscribed', topic: one })
  t.match(await client.ask(subscribe(one)), { type: 'subscribed', topic: one }, 'no other answer came in between')
})

t.test('what is not followed can\'t be unsubscribed from or acknowledged', async t => {
  const client = await open(t, app, owner)
  t.match(await client.ask({ type: 'unsubscribe', topic }), { type: 'error', code: 'NOT_SUBSCRIBED', topic })
  t.match(await client.ask({ type: 'ack', topic, id: '1' }), { type: 'error', code: 'NOT_SUBSCRIBED' })
})

t.test('whoever comes back gets what was missed, from any process', async t => {
  const before = await open(t, app, owner)
  const { id: start } = await before.ask(subscribe(topic))
  const ids = [await happen(), await happen(), await happen()]
  const first = await before.next()
  before.socket.terminate()

  const after = await open(t, other, owner)
  t.match(await after.ask(subscribe(topic, { lastEventId: first.event?.id })), { type: 'subscribed', id: first.event?.id })
  t.same(await subjects(after, 2), ids.slice(1))

  const neverSawOne = await open(t, other, owner)
  await neverSawOne.ask(subscribe(topic, { lastEventId: start }))
  t.same(await subjects(neverSawOne, 3), ids)
})

t.test('a position that can\'t be gone on from is reset, and what is new follows', async t => {
  for (const [lastEventId, reason] of [['x', 'malformed'], ['-1', 'malformed'], ['', 'malformed'], ['99999999', 'future']] as const) {
    const client = await open(t, app, owner)
    const { id } = await client.ask(subscribe(topic, { lastEventId }))
    t.same(await client.next(), { type: 'reset', topic, id, reason })
    const reservationId = await happen()
    t.match(await client.next(), { event: { reservationId } })
    client.socket.close()
  }
})

t.test('a position whose events are kept no more is reset', async t => {
  const client = await open(t, app, owner)
  const { id: start } = await client.ask(subscribe(topic))
  await happen()
  await app.prisma.$transaction(tx => trimEvents(tx, new Date(Date.now() + 1000)))
  const fresh = await open(t, await listening(t), owner)
  await fresh.ask(subscribe(topic, { lastEventId: start }))
  t.match(await fresh.next(), { type: 'reset', topic, reason: 'expired' })
})

t.test('with a window', async t => {
  t.test('no more events come than it holds until they are acknowledged', async t => {
    const client = await open(t, app, owner)
    await client.ask(subscribe(topic, { window: 2 }))
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push(await happen())
    const [first, second] = [await client.next(), await client.next()]
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'the third does not come')
    client.send({ type: 'ack', topic, id: first.event?.id })
    const third = await client.next()
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'the fourth does not come')
    client.send({ type: 'ack', topic, id: third.event?.id })
    const [fourth, fifth] = [await client.next(), await client.next()]
    t.same([first, second, third, fourth, fifth].map(({ event }) => event?.reservationId), ids)
  })

  t.test('many events arrive once each and in order, one at a time, as fast as they are acknowledged', async t => {
    const reader = await registered(app)
    const client = await open(t, app, reader)
    await client.ask(subscribe(topic, { window: 1 }))
    const writing = recordReservations(app, reader.id, 500)
    const seen: bigint[] = []
    while (seen.length < 500) {
      const { event } = await client.next()
      seen.push(BigInt(event!.id))
      client.send({ type: 'ack', topic, id: event!.id })
    }
    await writing
    t.ok(seen.every((id, index) => index === 0 || id > seen[index - 1]!))
  })
})

t.test('when the log has gone back it is reset, and what was on its way counts no more', async t => {
  const client = await open(t, app, owner)
  const { id: start = '' } = await client.ask(subscribe(topic, { window: 3 }))
  for (let i = 0; i < 2; i++) {
    await happen()
    await client.next()
  }
  // As a failover to a standby that lagged leaves it.
  await app.prisma.event.deleteMany({ where: { position: { gt: BigInt(start) } } })
  await app.prisma.$queryRaw`SELECT setval('event_positions', ${BigInt(start)}::bigint)::text`
  t.match(await client.next(), { type: 'reset', topic, id: start, reason: 'future' })
  const ids = [await happen(), await happen(), await happen()]
  t.same(await subjects(client, 3), ids)
})

t.test('without a window acknowledgements say nothing', async t => {
  const client = await open(t, app, owner)
  await client.ask(subscribe(topic))
  client.send({ type: 'ack', topic, id: '1' })
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
})

t.test('Node\'s own WebSocket connects with a ticket', async t => {
  const { ticket } = (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(owner.token) })).json()
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${SOCKET}`, ['keel.v1', `ticket.${ticket}`])
  t.teardown(() => socket.close())
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject })
  t.equal(socket.protocol, 'keel.v1')
  const message = new Promise<Message>(resolve => { socket.onmessage = ({ data }) => resolve(JSON.parse(data)) })
  socket.send(JSON.stringify(subscribe(topic)))
  t.match(await message, { type: 'subscribed', topic })
})

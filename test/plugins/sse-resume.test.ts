// How clients of an event stream come back, and how those get in that can't send a header.
import { setTimeout as sleep } from 'node:timers/promises'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { EventSource } from 'eventsource'
import t, { type Test } from 'tap'
import { EventsReset } from '../../routes/http/events.ts'
import { trimEvents } from '../../services/events.ts'
import { asAdmin, bearer, buildApp, registered } from '../helpers/app.ts'
import { recordReservations, withReservationStreams } from '../helpers/reservation-streams.ts'
import { openEvents, type ServerEvent } from '../helpers/sse.ts'

const PATH = '/reservations/events'
const isReset = new Ajv2020({ strict: false }).compile(EventsReset)

const app = await buildApp(t, {}, withReservationStreams)
const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}${PATH}`

/** Something happens that concerns a user; gives to what. */
async function happen (ownerId: string): Promise<string> {
  const [id = ''] = await recordReservations(app, ownerId)
  return id
}

const subject = ({ data }: { data: string }) => (JSON.parse(data) as { reservationId: string }).reservationId
const subjects = ({ events }: { events: ServerEvent[] }) => events.map(subject)

t.test('of others one gets nothing; who may see everything, everything', async t => {
  const [one, two, admin] = [await registered(app), await registered(app), await asAdmin(app)]
  const [clientOfOne, clientOfAdmin] = [await openEvents(t, url, one), await openEvents(t, url, admin)]
  const theirs = await happen(two.id)
  const own = await happen(one.id)
  await Promise.all([clientOfOne.until(1), clientOfAdmin.until(2)])
  t.same(subjects(clientOfOne), [own])
  t.same(subjects(clientOfAdmin), [theirs, own])
})

t.test('Last-Event-ID resumes behind it', async t => {
  const { id: ownerId, token } = await registered(app)
  const first = await openEvents(t, url, { token })
  const ids = [await happen(ownerId), await happen(ownerId)]
  await first.until(2)
  first.close()
  ids.push(await happen(ownerId), await happen(ownerId))

  t.test('as a header', async t => {
    const client = await openEvents(t, url, { token, lastEventId: first.events[0]!.id })
    await client.until(3)
    t.same(subjects(client), ids.slice(1))
  })
  t.test('as a query', async t => {
    const client = await openEvents(t, `${url}?lastEventId=${first.events[1]!.id}`, { token })
    await client.until(2)
    t.same(subjects(client), ids.slice(2))
  })
  t.test('the header first, as it is of the reconnection', async t => {
    const client = await openEvents(t, `${url}?lastEventId=${first.events[0]!.id}`, { token, lastEventId: first.events[1]!.id })
    await client.until(2)
    t.same(subjects(client), ids.slice(2))
  })
})

t.test('a position that can\'t be resumed is a reset, and the stream goes on from there', async t => {
  const { id: ownerId, token } = await registered(app)
  for (const [name, lastEventId, reason] of [
    ['from the future', '999999999999', 'future'],
    ['garbage', 'x'.repeat(36), 'malformed'],
    ['10,000 characters', '9'.repeat(10_000), 'malformed'],
    ['NaN', 'NaN', 'malformed'],
    ['negative', '-1', 'malformed'],
    ['Latin-1', 'é', 'malformed']
  ] as const) {
    t.test(name, async t => {
      const client = await openEvents(t, url, { token, lastEventId })
      const [reset] = await client.until(1)
      t.equal(client.response.status, 200)
      t.equal(reset!.event, 'reset')
      t.same(JSON.parse(reset!.data), { id: reset!.id, reason })
      t.ok(isReset(JSON.parse(reset!.data)), 'as documented')
      const id = await happen(ownerId)
      const [, event] = await client.until(2)
      t.equal(subject(event!), id)
      t.ok(BigInt(event!.id) > BigInt(reset!.id))
      client.close()
      const again = await openEvents(t, url, { token, lastEventId: reset!.id })
      t.same((await again.until(1))[0], event, 'its id can be resumed')
      again.close()
    })
  }

  t.test('older than what is kept', async t => {
    const old = String(app.events.position)
    await happen(ownerId)
    await app.prisma.$transaction(tx => trimEvents(tx, new Date(Date.now() + 1000)))
    // Another process: this one still has it in memory.
    const fresh = await buildApp(t, {}, withReservationStreams)
    const client = await openEvents(t, `${await fresh.listen({ port: 0, host: '127.0.0.1' })}${PATH}`, { token, lastEventId: old })
    const [reset] = await client.until(1)
    t.match(JSON.parse(reset!.data), { reason: 'expired' })
    const id = await happen(ownerId)
    t.equal(subject((await client.until(2))[1]!), id)
  })
})

t.test('a query that is unknown is a 400 problem, as anywhere', async t => {
  const { token } = await registered(app)
  const response = await app.inject({ url: `${PATH}?since=1`, headers: bearer(token) })
  t.equal(response.statusCode, 400)
  t.equal(response.json().code, 'VALIDATION_FAILED')
})

t.test('the EventSource of npm gets every event once, though it loses its connection', async t => {
  const { id: ownerId, token } = await registered(app)
  const got: string[] = []
  const source = sourceOf(t, token)
  source.addEventListener('reservation.made', event => got.push(subject(event)))
  const opened = () => new Promise(resolve => source.addEventListener('open', resolve, { once: true }))
  await opened()
  const happened = [await happen(ownerId)]
  while (got.length < 1) await sleep(5)
  const reopened = opened()
  app.server.closeAllConnections()
  for (let n = 0; n < 5; n++) happened.push(await happen(ownerId))
  await reopened
  happened.push(await happen(ownerId))
  while (got.length < happened.length) await sleep(5)
  t.same(got, happened)
})

function sourceOf (t: Test, token: string): EventSource {
  const source = new EventSource(url, { fetch: (input, init) => fetch(input, { ...init, headers: { ...init?.headers, ...bearer(token) } }) })
  t.teardown(() => source.close())
  return source
}

t.test('a ticket opens one stream, in the name of whoever got it', async t => {
  const [{ id: ownerId, token }, other] = [await registered(app), await registered(app)]
  const { ticket } = (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(token) })).json() as { ticket: string }
  t.equal((await app.inject({ method: 'HEAD', url: `${PATH}?ticket=${ticket}` })).statusCode, 401, 'nor is it spent on what opens none')
  const client = await openEvents(t, `${url}?ticket=${ticket}`, {})
  await happen(other.id)
  const own = await happen(ownerId)
  await client.until(1)
  t.same(subjects(client), [own])
  for (const query of [`ticket=${ticket}`, 'ticket=x', `ticket=${ticket}&ticket=${ticket}`]) {
    t.equal((await app.inject(`${PATH}?${query}`)).statusCode, 401, query)
  }
})

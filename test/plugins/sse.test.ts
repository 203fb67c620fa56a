// Event streams over real sockets: what is promised of any stream of the kit.
import { randomUUID } from 'node:crypto'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import appPlugin from '../../app.ts'
import type { Config } from '../../plugins/config/index.ts'
import { serverOptions } from '../../server.ts'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { asAdmin, bearer, buildApp, registered, testConfig, testDatabase } from '../helpers/app.ts'
import { setClockBack } from '../helpers/clock.ts'
import { createProxy } from '../helpers/proxy.ts'
import { withReservationStreams } from '../helpers/reservation-streams.ts'
import { openEvents } from '../helpers/sse.ts'

const onServer = { skip: process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set' }
const FAST = { SSE_HEARTBEAT: 40 }

interface Service { app: FastifyInstance, url: string, port: number, admin: string, replies: FastifyReply[] }

/** The service, listening, with an admin who follows everything. `replies` are those to requests for a stream. */
async function listening (t: Test, overrides: Partial<Config> = {}): Promise<Service> {
  const replies: FastifyReply[] = []
  const app = await buildApp(t, overrides, app => {
    withReservationStreams(app)
    app.addHook('onSend', async (request, reply) => {
      if (request.url.startsWith('/reservations/events')) replies.push(reply)
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return { app, port, url: `http://127.0.0.1:${port}/reservations/events`, admin: (await asAdmin(app)).token, replies }
}

/** Writes events in one transaction, each with so many characters. */
async function record (app: FastifyInstance, count = 1, { size = 10, type = 'reservation.made', ownerId = undefined as string | undefined } = {}): Promise<void> {
  await inTransaction(app.prisma, async tx => {
    for (let n = 0; n < count; n++) await recordEvent(tx, { type, subject: randomUUID(), ownerId, data: { n, filler: 'x'.repeat(size) } })
  })
}

/** A client that asks for the stream and does as it is told with the socket. */
async function socketOf (t: Test, { port }: Service, token: string, { hangUp = false, lines = '' } = {}): Promise<Socket> {
  const socket = connect(port, '127.0.0.1', () => socket.write(`GET /reservations/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n${lines}\r\n`))
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  await new Promise(resolve => socket.once('readable', resolve))
  if (hangUp) socket.destroy()
  return socket
}

/** Writes until the client of a reply takes no more, and something waits for it. */
async function fill (app: FastifyInstance, { raw, eventStream: stream }: FastifyReply): Promise<void> {
  for (let before = 0; raw.writableLength === 0; before = stream!.events) {
    await record(app, 1, { size: 50_000 })
    await eventually(() => stream!.events > before)
  }
}

async function eventually (condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

t.test('a stream begins with when to come back and where to resume, and has the headers of every answer', async t => {
  const { app, url, admin } = await listening(t, { ALLOWED_ORIGINS: ['https://app.example.com'] })
  await record(app)
  const client = await openEvents(t, url, { token: admin, headers: { origin: 'https://app.example.com', 'accept-encoding': 'gzip, br' } })
  const { headers, status } = client.response
  t.equal(status, 200)
  t.equal(headers.get('content-type'), 'text/event-stream')
  t.equal(headers.get('cache-control'), 'no-cache, no-transform')
  t.equal(headers.get('x-accel-buffering'), 'no')
  t.equal(headers.get('content-encoding'), null)
  t.equal(headers.get('x-content-type-options'), 'nosniff')
  t.equal(headers.get('access-control-allow-origin'), 'https://app.example.com')
  t.match(headers.get('ratelimit'), /^"client";r=\d+;t=\d+$/)
  t.ok(headers.get('x-request-id'))
  await eventually(() => client.lastEventId() !== '')
  t.match(client.text(), /^retry: \d+\n\nid: \d+\n\n/)
  t.equal(client.lastEventId(), String(app.events.position))
})

t.test('clients are told different times to come back', async t => {
  const { url, admin } = await listening(t)
  const clients = await Promise.all(Array.from({ length: 5 }, () => openEvents(t, url, { token: admin })))
  await eventually(() => clients.every(({ retries }) => retries.length > 0))
  t.ok(new Set(clients.map(({ retries }) => retries[0])).size > 1)
})

t.test('an event is a block with its type, its place and its data', async t => {
  const { app, url, admin } = await listening(t)
  const client = await openEvents(t, url, { token: admin })
  await record(app)
  const [event] = await client.until(1)
  t.match(client.text(), new RegExp(`event: reservation.made\nid: ${event!.id}\ndata: {[^\n]*}\n\n$`))
  t.match(JSON.parse(event!.data), { id: event!.id, type: 'reservation.made', n: 0 })
})

t.test('a stream has the events of its topic alone', async t => {
  const { app, url, admin } = await listening(t)
  const client = await openEvents(t, url, { token: admin })
  await record(app, 1, { type: 'reservations.other' })
  await record(app, 1, { type: 'reservation.returned' })
  await client.until(1)
  t.same(client.events.map(({ event }) => event), ['reservation.returned'])
})

t.test('a heartbeat keeps the position of a client that has nothing to read up to date', async t => {
  const { app, url } = await listening(t, FAST)
  const { token } = await registered(app)
  const client = await openEvents(t, url, { token })
  await record(app, 3)
  await eventually(() => client.lastEventId() === String(app.events.position) && client.comments() >= 2)
  t.same(client.events, [])
})

t.test('a clock that is set back holds up no heartbeat', async t => {
  const { url, admin } = await listening(t, FAST)
  const client = await openEvents(t, url, { token: admin })
  await eventually(() => client.comments() > 0)
  setClockBack(t)
  const before = client.comments()
  await eventually(() => client.comments() > before + 2)
})

t.test('a client that has seen no event resumes where it began', async t => {
  const { app, url, admin } = await listening(t)
  const first = await openEvents(t, url, { token: admin })
  await eventually(() => first.lastEventId() !== '')
  first.close()
  await record(app, 3)
  const second = await openEvents(t, url, { token: admin, lastEventId: first.lastEventId() })
  await second.until(3)
  t.same(second.events.map(({ data }) => JSON.parse(data).n), [0, 1, 2])
})

t.test('HEAD has the headers of the stream and opens none', async t => {
  const { app, url, admin } = await listening(t, { SSE_STREAMS_MAX: 1 })
  for (let n = 0; n < 3; n++) {
    const response = await fetch(url, { method: 'HEAD', headers: bearer(admin) })
    t.equal(response.status, 200)
    t.equal(response.headers.get('content-type'), 'text/event-stream')
  }
  t.equal(app.events.subscribers, 0)
})

t.test('HTTP/1.0 gets the stream as it is, without chunks', async t => {
  const { port, app, admin } = await listening(t)
  const socket = connect(port, '127.0.0.1', () => socket.write(`GET /reservations/events HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer ${admin}\r\n\r\n`))
  let text = ''
  socket.on('data', chunk => { text += String(chunk) })
  await eventually(() => /\r\n\r\nretry: /.test(text))
  await record(app)
  await eventually(() => text.endsWith('\n\n') && text.includes('event: reservation.made'))
  t.match(text, /\n\nid: \d+\n\nevent: reservation.made\nid: \d+\ndata: {.*}\n\n$/)
  socket.destroy()
})

t.test('a slow reader', async t => {
  t.test('is cut off when too much waits for it, and holds nobody up', async t => {
    const service = await listening(t)
    const { app, url, admin, replies } = service
    const slow = await socketOf(t, service, admin)
    slow.pause()
    const quick = await openEvents(t, url, { token: admin })
    let most = 0
    for (let n = 0; n < 300 && app.events.subscribers > 1; n++) {
      await record(app, 1, { size: 100_000 })
      most = Math.max(most, replies[0]!.raw.writableLength)
    }
    await eventually(() => app.events.subscribers === 1)
    t.equal(replies[0]!.eventStream!.end, 'slow')
    t.ok(most < 512 * 1024, `${most} bytes waited`)
    const before = quick.events.length
    await record(app)
    await quick.until(before + 1)
    t.pass('the others go on')
  })

  t.test('that catches up is given no more than it takes', async t => {
    const service = await listening(t)
    const { app, admin, replies } = service
    await record(app)
    const { position: start } = await app.prisma.event.findFirstOrThrow({ orderBy: { position: 'desc' } })
    for (let n = 0; n < 6; n++) await record(app, 20, { size: 60_000 })
    const slow = await socketOf(t, service, admin, { lines: `Last-Event-ID: ${start}\r\n` })
    slow.pause()
    let most = 0
    for (let n = 0; n < 20; n++) {
      await sleep(10)
      most = Math.max(most, replies[0]!.raw.writableLength)
    }
    t.ok(most < 256 * 1024, `${most} bytes waited`)
    t.equal(replies[0]!.eventStream!.end, undefined, 'it is waited for')
    let text = ''
    slow.on('data', (chunk: Buffer) => { text += chunk.toString('latin1').replaceAll('x', '') })
    slow.resume()
    await eventually(() => text.split('\nevent: reservation.made\n').length === 121)
    t.pass('and gets all of it')
  })

  t.test('that takes nothing at all is let go, however little waits for it', async t => {
    const service = await listening(t, FAST)
    const { app, admin, replies } = service
    const slow = await socketOf(t, service, admin)
    slow.pause()
    await fill(app, replies[0]!)
    await eventually(() => app.events.subscribers === 0)
    t.equal(replies[0]!.eventStream!.end, 'slow')
  })
})

t.test('many events at once are none too many for a reader that keeps up', async t => {
  const { app, url, admin } = await listening(t)
  const client = await openEvents(t, url, { token: admin })
  await record(app, 400, { size: 5_000 })
  await client.until(400)
  t.same(client.events.map(({ data }) => JSON.parse(data).n), Array.from({ length: 400 }, (_, n) => n))
})

t.test('when its token expires a stream ends, and the client may not come back with it', async t => {
  const { app, url } = await listening(t, { ACCESS_TOKEN_TTL: 4000, ...FAST })
  const { token } = await registered(app)
  const client = await openEvents(t, url, { token })
  await client.ended
  t.equal(app.events.subscribers, 0)
  const again = await fetch(url, { headers: bearer(token) })
  t.equal(again.status, 401)
  t.match(again.headers.get('www-authenticate'), /invalid_token/)
})

t.test('shutdown', async t => {
  t.test('ends every stream, tells the clients to come back at different times, and is not held up by one that does not read', async t => {
    const service = await listening(t)
    const { app, url, admin, replies } = service
    const clients = await Promise.all(Array.from({ length: 5 }, () => openEvents(t, url, { token: admin })))
    const stuck = await socketOf(t, service, admin)
    stuck.pause()
    await fill(app, replies[5]!)
    await app.close()
    await Promise.all(clients.map(({ ended }) => ended))
    t.ok(new Set(clients.map(({ retries }) => retries[1])).size > 1)
    t.ok(clients.every(({ retries }) => retries.length === 2))
  })

  t.test('takes no new streams', async t => {
    const late: { url?: string, answer?: Response } = {}
    const app = await buildApp(t, {}, app => {
      withReservationStreams(app)
      app.addHook('preClose', async () => {
        late.answer = await fetch(`${late.url}/reservations/events`, { headers: bearer(token) })
      })
    })
    const { token } = await registered(app)
    late.url = await app.listen({ port: 0, host: '127.0.0.1' })
    await app.close()
    t.equal(late.answer?.status, 503)
    t.match(late.answer?.headers.get('retry-after'), /^\d+$/)
  })
})

t.test('a user may have so many streams at a time, another user as many', async t => {
  const { app, url } = await listening(t, { SSE_STREAMS_MAX: 2 })
  const [one, two] = [await registered(app), await registered(app)]
  const [first] = [await openEvents(t, url, one), await openEvents(t, url, one)]
  const third = await fetch(url, { headers: bearer(one.token) })
  t.equal(third.status, 429)
  t.match(third.headers.get('retry-after'), /^\d+$/)
  t.match(await third.json(), { code: 'TOO_MANY_STREAMS' })
  t.equal((await openEvents(t, url, two)).response.status, 200)
  first.close()
  await eventually(() => app.events.subscribers === 2)
  t.equal((await openEvents(t, url, one)).response.status, 200)
})

t.test('a client that has gone leaves nothing behind', async t => {
  const service = await listening(t)
  for (let n = 0; n < 30; n++) await socketOf(t, service, service.admin, { hangUp: n % 2 === 0 }).then(socket => socket.resetAndDestroy())
  await eventually(() => service.app.events.subscribers === 0)
  t.equal((await openEvents(t, service.url, { token: service.admin })).response.status, 200)
})

t.test('the opening of a stream counts once against the rate limit', async t => {
  const { url, admin } = await listening(t, FAST)
  const remaining = ({ response }: { response: Response }) => Number(/r=(\d+)/.exec(response.headers.get('ratelimit') ?? '')?.[1])
  const client = await openEvents(t, url, { token: admin })
  await eventually(() => client.comments() >= 10)
  t.equal(remaining(await openEvents(t, url, { token: admin })), remaining(client) - 1)
})

t.test('with the database away streams go on, new ones are 503 and may come back', onServer, async t => {
  const proxy = await createProxy(t, await testDatabase())
  await proxy.open()
  const { app, url, admin } = await listening(t, { DATABASE_URL: proxy.url })
  const writer = await buildApp(t)
  const client = await openEvents(t, url, { token: admin })
  await record(writer)
  await client.until(1)
  await proxy.cut()
  await record(writer)
  const refused = await fetch(url, { headers: bearer(admin) })
  t.equal(refused.status, 503)
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  t.equal(refused.headers.get('content-type'), 'application/problem+json')
  await proxy.open()
  await client.until(2)
  await record(writer)
  await client.until(3)
  t.equal((await openEvents(t, url, { token: admin })).response.status, 200)
  t.equal(app.events.subscribers, 2)
})

t.test('a stream is one line of the log, when it has ended, with how long it was and how many events', async t => {
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => { lines.push(JSON.parse(String(chunk))); done() } })
  const config = await testConfig({ LOG_LEVEL: 'info', ACCESS_TOKEN_TTL: 4000, ...FAST })
  const options = serverOptions(config)
  const app = Fastify({ ...options, logger: { ...options.logger as object, stream } }) as unknown as FastifyInstance
  await app.register(appPlugin, { config })
  withReservationStreams(app)
  t.teardown(() => app.close())
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/reservations/events`
  const { id, token } = await registered(app)
  const [gone, stays] = [await openEvents(t, url, { token }), await openEvents(t, url, { token })]
  await record(app, 2, { ownerId: id })
  await gone.until(2)
  gone.close()
  await stays.ended
  await eventually(() => lines.filter(({ route }) => route === '/reservations/events').length === 2)
  t.match(lines.filter(({ route }) => route === '/reservations/events'), [
    { msg: 'request', status: 200, events: 2, end: 'client', userId: id, durationMs: Number },
    { msg: 'request', status: 200, events: 2, end: 'expired', userId: id }
  ])
})

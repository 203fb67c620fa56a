import { connect, type AddressInfo, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { FastifyContextConfig, FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { Config } from '../../plugins/config/index.ts'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { withReservations } from '../helpers/reservations.ts'
import { until } from '../helpers/until.ts'
import { withReservationStreams } from '../helpers/reservation-streams.ts'
import { openEvents } from '../helpers/sse.ts'
import { holdTransaction } from '../helpers/transaction.ts'

const onServer = { skip: process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set' }

/** The service with a route that keeps its requests, and answers when it is released; and one that is like any other. */
async function service (t: Test, overrides: Partial<Config> = {}, more: FastifyContextConfig = {}): Promise<{ app: FastifyInstance, requests: FastifyRequest[], release: () => void }> {
  const requests: FastifyRequest[] = []
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const app = await buildApp(t, overrides, app => {
    app.route({
      url: '/slow',
      method: ['GET', 'POST'],
      config: { public: true, ...more },
      schema: { hide: true },
      handler: async request => {
        requests.push(request)
        await released
        return { done: true }
      }
    })
    app.post('/any', { config: { public: true }, schema: { hide: true, body: Type.Object({}) } }, async () => ({ done: true }))
  })
  t.teardown(release)
  return { app, requests, release }
}

/** Has another transaction hold a product until it is released. */
async function held (app: FastifyInstance, id: string): Promise<() => Promise<void>> {
  return await holdTransaction(app, async tx => await tx.$queryRaw`SELECT 1 FROM products WHERE id = ${id}::uuid FOR UPDATE`)
}

t.test('what is not answered in time is a 503 problem, and its signal fires', async t => {
  const { app, requests } = await service(t, { REQUEST_TIMEOUT_MS: 100 })
  for (const method of ['GET', 'POST'] as const) {
    const response = await app.inject({ method, url: '/slow', payload: method === 'POST' ? { a: 1 } : undefined })
    t.equal(response.statusCode, 503)
    t.match(response.json(), { code: 'DEADLINE_EXCEEDED', detail: 'There was no answer within 100 ms.' })
    t.ok(response.headers['retry-after'])
    t.equal(requests.at(-1)!.deadline.signal.aborted, true)
    t.equal(requests.at(-1)!.deadline.remainingMs(), 0)
  }
})

t.test('what the handler gives after that is nobody\'s', async t => {
  const { app, requests, release } = await service(t, { REQUEST_TIMEOUT_MS: 100 })
  const response = await app.inject('/slow')
  const warnings: unknown[] = []
  requests[0]!.log.warn = (...words: unknown[]) => { warnings.push(words) }
  release()
  await new Promise(setImmediate)
  t.equal(response.statusCode, 503)
  t.same(warnings, [])
})

t.test('a client may wait for less, not for more', async t => {
  const { app, requests, release } = await service(t, { REQUEST_TIMEOUT_MS: 60_000 })
  const hurried = await app.inject({ url: '/slow', headers: { 'x-request-timeout-ms': '50' } })
  t.equal(hurried.json().code, 'DEADLINE_EXCEEDED')
  const patient = app.inject({ url: '/slow', headers: { 'x-request-timeout-ms': '9999999999' } })
  await until(() => requests.length === 2)
  t.ok(requests[1]!.deadline.remainingMs() <= 60_000)
  release()
  t.equal((await patient).statusCode, 200)
})

t.test('a deadline that is none is refused', async t => {
  const { app } = await service(t)
  for (const value of ['0', '000', '-1', '1.5', '1e3', 'soon', '', '99999999999', '5, 6']) {
    const response = await app.inject({ url: '/products', headers: { 'x-request-timeout-ms': value } })
    t.equal(response.statusCode, 400, value)
    t.match(response.json().detail, /X-Request-Timeout-Ms/)
  }
  t.equal((await app.inject({ url: '/products', headers: { 'x-request-timeout-ms': '5000' } })).statusCode, 200)
})

t.test('the signal fires when the client hangs up, and not when its body has been read', async t => {
  const { app, requests } = await service(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1', () => socket.write('POST /slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'))
  await until(() => requests.length === 1)
  const { signal } = requests[0]!.deadline
  await new Promise(resolve => setTimeout(resolve, 50))
  t.equal(signal.aborted, false)
  socket.destroy()
  await until(() => signal.aborted)
  t.match(signal.reason, { message: 'The client has hung up.' })
})

t.test('a route may have longer; what has not has its own time to arrive', async t => {
  const { app, requests } = await service(t, { REQUEST_TIMEOUT_MS: 300 }, { timeoutMs: 60_000 })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const begin = (path: string) => connect(port, '127.0.0.1', function (this: Socket) { this.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{`) })
  const patient = begin('/slow')
  t.match(await text(begin('/any')), /^HTTP\/1.1 408 /)
  // Answered at once, as there is no such product, and its body still on its way.
  const answered = begin('/products/0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11')
  t.match(await text(answered), /^HTTP\/1.1 405 [^]*HTTP\/1.1 408 /)
  t.equal(patient.readyState, 'open')
  patient.write('}')
  await until(() => requests.length === 1)
  t.ok(requests[0]!.deadline.remainingMs() > 1_000)
})

t.test('an answered request leaves no timer and no signal behind', async t => {
  const { app, requests, release } = await service(t)
  release()
  t.equal((await app.inject('/slow')).statusCode, 200)
  t.equal(requests[0]!.deadline.signal.aborted, false)
})

t.test('an event stream goes on', async t => {
  const app = await buildApp(t, { REQUEST_TIMEOUT_MS: 1_000, SSE_HEARTBEAT: 200 }, withReservationStreams)
  const { accessToken: token } = app.accessTokens.issue({ id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', scopes: [] })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const stream = await openEvents(t, `${url}/reservations/events`, { token })
  await until(() => stream.comments() >= 8)
  t.equal(stream.response.status, 200)
})

t.test('a transaction that is not done in time leaves nothing behind, also no statement', onServer, async t => {
  const app = await buildApp(t, {}, withReservations)
  const { token } = await registered(app)
  const { id, stock } = await newProduct(app)
  const release = await held(app, id)
  const response = await app.inject({ method: 'POST', url: '/reservations', headers: { ...bearer(token), 'x-request-timeout-ms': '300' }, payload: { productId: id, quantity: 1 } })
  t.equal(response.statusCode, 503)
  const waiting = async () => (await app.prisma.$queryRaw<object[]>`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).length
  await until(async () => await waiting() === 0)
  await release()
  t.equal(await app.prisma.event.count(), 0)
  t.equal((await app.inject(`/products/${id}`)).json().stock, stock)
})

t.test('a transaction whose client hangs up meanwhile is not committed', onServer, async t => {
  const app = await buildApp(t, {}, withReservations)
  const { token } = await registered(app)
  const { id, stock } = await newProduct(app)
  const release = await held(app, id)
  const port = Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port)
  const body = JSON.stringify({ productId: id, quantity: 1 })
  const socket = connect(port, '127.0.0.1', () => socket.write(`POST /reservations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`))
  const waiting = async () => (await app.prisma.$queryRaw<object[]>`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).length
  await until(async () => await waiting() === 1)
  socket.destroy()
  await until(() => new Promise<boolean>(resolve => app.server.getConnections((_error, count) => resolve(count === 0))))
  await release()
  await until(async () => await waiting() === 0)
  t.equal(await app.prisma.event.count(), 0)
  t.equal((await app.inject(`/products/${id}`)).json().stock, stock)
})

t.test('what a handler still gives or throws for a request that is over is let go, and only a fault is an error of the log', async t => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  t.teardown(release)
  const open: Readable[] = []
  let begun = 0
  const { app, lines } = await buildLogged(t, { LOG_LEVEL: 'info' }, app => {
    const begin = async () => {
      begun++
      await released
    }
    const more = { config: { public: true }, schema: { hide: true } } as const
    app.get('/stream', more, async () => {
      await begin()
      const stream = new Readable({ read () {} })
      open.push(stream)
      return stream
    })
    app.get('/refused', more, async () => {
      await begin()
      throw Object.assign(new Error('the rest is missing'), { statusCode: 400 })
    })
    app.get('/fault', more, async () => {
      await begin()
      throw new TypeError('a fault')
    })
  })
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const sockets = ['/stream', '/refused', '/fault'].map(path => connect(Number(url.port), '127.0.0.1', function (this: Socket) { this.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`) }))
  const late = fetch(new URL('/stream', url), { headers: { 'x-request-timeout-ms': '100' } })
  await until(() => begun === 4)
  for (const socket of sockets) socket.destroy()
  t.equal((await late).status, 503)
  await until(() => lines.filter(({ msg }) => msg === 'the client hung up').length === 3)
  release()
  await until(() => open.length === 2 && open.every(stream => stream.destroyed))
  const errors = () => lines.filter(({ err }) => err !== undefined)
  await until(() => errors().length > 0)
  t.match(errors(), [{ level: 50, err: { message: 'a fault' } }])
})

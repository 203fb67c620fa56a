// Who gets a WebSocket, and what the others are answered.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import service from '../../app.ts'
import { serverOptions } from '../../server.ts'
import { bearer, registered, testConfig } from '../helpers/app.ts'
import { SOCKET, withReservationStreams } from '../helpers/reservation-streams.ts'
import { listening, open, portOf, refusal } from '../helpers/socket.ts'

const page = 'https://app.example.com'
const app = await listening(t, { ALLOWED_ORIGINS: [page], WS_CONNECTIONS_MAX: 1000 }, withReservationStreams)
const other = await listening(t)
const user = await registered(app)
const { token } = user

async function ticketFor (asked = token): Promise<string> {
  return (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(asked) })).json().ticket
}

/** Sends a request by hand; gives all that comes until the connection ends. */
async function raw (fastify: FastifyInstance, lines: string[]): Promise<string> {
  const socket = connect(portOf(fastify), '127.0.0.1')
  socket.end(`${lines.join('\r\n')}\r\n\r\n`)
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  return answer
}

const handshake = ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']

t.test('with a token in the header it opens, and says which request it was', async t => {
  const { socket, headers } = await open(t, app, { token })
  t.equal(socket.protocol, 'keel.v1')
  t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/)
})

t.test('without credentials it is 401, before the upgrade', async t => {
  const { status, headers, problem } = await refusal(t, app)
  t.match({ status, challenge: headers['www-authenticate'], id: headers['x-request-id'], type: headers['content-type'], nosniff: headers['x-content-type-options'], connection: headers.connection },
    { status: 401, challenge: 'Bearer', id: /.{8}/, type: 'application/problem+json', nosniff: 'nosniff', connection: 'close' })
  t.match(problem, { code: 'UNAUTHORIZED' })
})

t.test('a bad token is 401, and a ticket beside it is not spent', async t => {
  const ticket = await ticketFor()
  t.match(await refusal(t, app, { token: 'e30.e30.e30', query: `?ticket=${ticket}` }), { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } })
  t.equal((await open(t, app, { query: `?ticket=${ticket}` })).socket.protocol, 'keel.v1')
})

t.test('a token in the query is none', async t => {
  t.match(await refusal(t, app, { query: `?access_token=${token}` }), { status: 401 })
})

t.test('a request that announces a body is no handshake', async t => {
  for (const header of ['Content-Length: 5', 'Transfer-Encoding: chunked']) {
    const answer = await raw(app, ['GET /ws HTTP/1.1', ...handshake, `Authorization: Bearer ${token}`, header])
    t.match(answer, /^HTTP\/1.1 400 .*has no body/s, header)
  }
  t.match(await raw(app, ['GET /ws HTTP/1.1', ...handshake, `Authorization: Bearer ${token}`, 'Content-Length: 0']), /^HTTP\/1.1 101 /, 'none of no bytes')
})

t.test('subprotocols', async t => {
  t.equal((await open(t, app, { token, protocols: [] })).socket.protocol, '', 'none offered, none chosen')
  t.equal((await open(t, app, { token, protocols: ['other', 'keel.v1'] })).socket.protocol, 'keel.v1')
  const unknown = await raw(app, ['GET /ws HTTP/1.1', ...handshake, `Authorization: Bearer ${token}`, 'Sec-WebSocket-Protocol: keel.v2'])
  t.match(unknown, /^HTTP\/1.1 400 .*speaks is keel\.v1/s, 'only others offered')
})

t.test('a ticket', async t => {
  t.test('is 256 random bits, good for 30 seconds, and kept by nobody on the way', async t => {
    const response = await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(token) })
    t.match(response.json(), { ticket: /^[\w-]{43}$/, expiresIn: 30 })
    t.equal(response.statusCode, 201)
    t.equal(response.headers['cache-control'], 'no-store')
  })

  t.test('opens as a subprotocol, which is never echoed', async t => {
    for (const path of ['/ws', SOCKET]) {
      const client = await open(t, app, { path, protocols: ['keel.v1', `ticket.${await ticketFor()}`] })
      t.equal(client.headers['sec-websocket-protocol'], 'keel.v1')
      t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
    }
  })

  t.test('opens from the query', async t => {
    const client = await open(t, app, { path: SOCKET, query: `?ticket=${await ticketFor()}` })
    t.match(await client.ask({ type: 'subscribe', topic: 'reservations' }), { type: 'subscribed' })
  })

  t.test('is good in every process of the service', async t => {
    t.ok(await open(t, other, { query: `?ticket=${await ticketFor()}` }))
  })

  t.test('opens one WebSocket, even if two come at once', async t => {
    const query = `?ticket=${await ticketFor()}`
    const results = await Promise.allSettled([app, other, app, other].map(fastify => open(t, fastify, { query })))
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    t.match(await refusal(t, app, { query }), { status: 401, problem: { code: 'INVALID_TICKET' } })
  })

  t.test('expires', async t => {
    const ticket = await ticketFor()
    await app.prisma.socketTicket.updateMany({ data: { expiresAt: new Date(Date.now() - 1) } })
    t.match(await refusal(t, app, { query: `?ticket=${ticket}` }), { status: 401, headers: { 'www-authenticate': 'Bearer' }, problem: { code: 'INVALID_TICKET' } })
  })

  t.test('is good no longer than the token that it was got with, nor is the connection', async t => {
    const ticket = await ticketFor()
    await app.prisma.socketTicket.updateMany({ data: { tokenExpiresAt: new Date(Date.now() - 1) } })
    t.match(await refusal(t, app, { query: `?ticket=${ticket}` }), { status: 401, problem: { code: 'INVALID_TICKET' } })
    const second = await ticketFor()
    await app.prisma.socketTicket.updateMany({ data: { tokenExpiresAt: new Date(Date.now() + 400) } })
    const { closed } = await open(t, app, { query: `?ticket=${second}` })
    t.match(await closed, { code: 4401 })
  })

  t.test('carries the scopes of the token', async t => {
    const asked = async (scopes: string[]) => {
      const { accessToken } = app.accessTokens.issue({ id: user.id, scopes })
      const client = await open(t, app, { path: SOCKET, query: `?ticket=${await ticketFor(accessToken)}` })
      return await client.ask({ type: 'subscribe', topic: 'reservations.all' })
    }
    t.match(await asked(['products:write']), { type: 'error', code: 'FORBIDDEN' })
    t.match(await asked(['products:write', 'users:read']), { type: 'subscribed' })
  })

  for (const garbage of ['', 'x', 'x'.repeat(43), 'x'.repeat(1000), '%00', "'; DROP TABLE users; --".replaceAll(' ', '%20')]) {
    t.test(`"${garbage.slice(0, 50)}" is none`, async t => {
      t.match(await refusal(t, app, { query: `?ticket=${garbage}` }), { status: 401, problem: { code: 'INVALID_TICKET' } })
    })
  }

  t.test('comes alone: of two none is spent', async t => {
    const [first, second] = [await ticketFor(), await ticketFor()]
    t.match(await refusal(t, app, { query: `?ticket=${first}`, protocols: ['keel.v1', `ticket.${second}`] }), { status: 401, problem: { code: 'INVALID_TICKET' } })
    t.match(await refusal(t, app, { query: `?ticket=${first}&ticket=${second}` }), { status: 401 })
    t.ok(await open(t, app, { query: `?ticket=${first}` }))
    t.ok(await open(t, app, { query: `?ticket=${second}` }))
  })

  t.test('is stored as a hash', async t => {
    const ticket = await ticketFor()
    const rows = await app.prisma.socketTicket.findMany()
    t.ok(rows.length > 0)
    t.notOk(JSON.stringify(rows, (_, value) => value instanceof Uint8Array ? Buffer.from(value).toString() : value).includes(ticket))
  })

  t.test('opens nothing but the WebSocket', async t => {
    const ticket = await ticketFor()
    t.equal((await app.inject({ url: `/users/me?ticket=${ticket}` })).statusCode, 401)
    t.equal((await app.inject({ url: '/users/me', headers: { 'sec-websocket-protocol': `ticket.${ticket}` } })).statusCode, 401)
    t.equal((await app.inject({ url: '/users/me', headers: bearer(ticket) })).statusCode, 401)
    t.equal((await app.inject({ url: `/ws?ticket=${ticket}` })).statusCode, 401, 'nor is it spent on what is no upgrade')
    t.ok(await open(t, app, { query: `?ticket=${ticket}` }))
  })
})

t.test('pages', async t => {
  const own = `http://127.0.0.1:${portOf(app)}`
  t.ok(await open(t, app, { token, headers: { origin: page } }), 'of ALLOWED_ORIGINS may connect')
  t.ok(await open(t, app, { token, headers: { origin: own } }), 'of the service itself may')
  for (const origin of ['https://evil.example.com', 'https://app.example.com.evil.com', 'http://app.example.com', `http://127.0.0.1:${portOf(app) + 1}`, 'null', 'x']) {
    const ticket = await ticketFor()
    t.match(await refusal(t, app, { query: `?ticket=${ticket}`, headers: { origin } }), { status: 403, problem: { code: 'FORBIDDEN' } }, origin)
    t.ok(await open(t, app, { query: `?ticket=${ticket}` }), 'the ticket was not spent')
  }
})

t.test('what does not ask for a WebSocket is 426', async t => {
  const response = await app.inject({ url: '/ws', headers: bearer(token) })
  t.match(response, { statusCode: 426, headers: { upgrade: 'websocket', connection: 'upgrade', 'content-type': 'application/problem+json' } })
  t.equal(response.json().code, 'UPGRADE_REQUIRED')
  t.equal((await app.inject({ url: '/ws' })).statusCode, 401)
  t.equal((await app.inject({ method: 'POST', url: '/ws' })).statusCode, 405)
})

t.test('a handshake that is none is refused with a problem', async t => {
  const own = ['GET /ws HTTP/1.1', `Authorization: Bearer ${token}`]
  const without = (name: string) => handshake.filter(line => !line.startsWith(name))
  for (const [name, lines, expected] of [
    ['an old version', [...without('Sec-WebSocket-Version'), 'Sec-WebSocket-Version: 8'], /^HTTP\/1.1 426 [^]*sec-websocket-version: 13/i],
    ['no version', without('Sec-WebSocket-Version'), /^HTTP\/1.1 426 /],
    ['no key', without('Sec-WebSocket-Key'), /^HTTP\/1.1 400 /],
    ['a short key', [...without('Sec-WebSocket-Key'), 'Sec-WebSocket-Key: eA=='], /^HTTP\/1.1 400 /],
    ['a subprotocol twice', [...handshake, 'Sec-WebSocket-Protocol: keel.v1, keel.v1'], /^HTTP\/1.1 400 /],
    ['a subprotocol that is none', [...handshake, 'Sec-WebSocket-Protocol: ke(el'], /^HTTP\/1.1 400 /],
    ['no host', without('Host'), /^HTTP\/1.1 400 /]
  ] as const) {
    const answer = await raw(app, [...own, ...lines])
    t.match(answer, expected, name)
    t.match(answer, /content-type: application\/problem\+json/i, name)
  }
})

t.test('elsewhere a request for an upgrade is answered as any other', async t => {
  t.match(await raw(app, ['GET /health/live HTTP/1.1', ...handshake]), /^HTTP\/1.1 200 [^]*\{"status":"ok"\}/)
  t.match(await raw(app, ['GET /users/me HTTP/1.1', ...handshake]), /^HTTP\/1.1 401 /)
  t.match(await raw(app, ['GET /nowhere HTTP/1.1', ...handshake]), /^HTTP\/1.1 404 /)
  t.match(await raw(app, ['GET /%zz HTTP/1.1', ...handshake]), /^HTTP\/1.1 400 /)
  t.match(await raw(app, [`GET /products/${'x'.repeat(300)} HTTP/1.1`, ...handshake]), /^HTTP\/1.1 414 /)
  t.match(await raw(app, ['PATCH /users/me HTTP/1.1', ...handshake, `Authorization: Bearer ${token}`, 'Content-Type: application/json', 'Content-Length: 11', '', '{"name": ""}']), /^HTTP\/1.1 400 /)
  t.match(await raw(app, ['GET /health/live HTTP/1.1', 'Host: x', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__']), /^HTTP\/1.1 200 /)
})

t.test('a user has so many connections', async t => {
  const small = await listening(t, { WS_CONNECTIONS_MAX: 2 })
  const [first] = [await open(t, small, { token }), await open(t, small, { token })]
  t.match(await refusal(t, small, { token }), { status: 429, headers: { 'retry-after': /^\d+$/ }, problem: { code: 'RATE_LIMITED' } })
  t.ok(await open(t, small, await registered(small)), 'another has one of their own')
  t.equal(small.sockets.size, 3)
  first.socket.close()
  await first.closed
  t.ok(await eventually(() => open(t, small, { token })), 'one that has ended makes room')
})

t.test('upgrades count as requests of a client address', async t => {
  const limited = await listening(t, { RATE_LIMIT_MAX: 3 })
  const statuses = []
  for (let i = 0; i < 5; i++) statuses.push((await refusal(t, limited)).status)
  t.same(statuses, [401, 401, 401, 429, 429])
})

t.test('with the database away a ticket is 503, a token opens, and topics say so', async t => {
  const away = await lonely(t)
  t.match(await refusal(t, away, { query: `?ticket=${'x'.repeat(43)}` }), { status: 503, headers: { 'retry-after': /^\d+$/ }, problem: { code: 'UNAVAILABLE' } })
  const { accessToken } = away.accessTokens.issue({ id: user.id, scopes: [] })
  const client = await open(t, away, { path: SOCKET, token: accessToken })
  t.match(await client.ask({ type: 'subscribe', topic: 'reservations' }), { type: 'error', code: 'UNAVAILABLE', topic: 'reservations' })
  t.match(await client.ask({ type: 'subscribe', topic: `reservations/${user.id}` }), { type: 'error', code: 'UNAVAILABLE' })
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
})

t.test('the log says how it went, and no line has a ticket', async t => {
  const lines: string[] = []
  const config = await testConfig({ LOG_LEVEL: 'trace', PORT: 0 })
  const options = serverOptions(config)
  const logged = Fastify({ ...options, logger: { ...options.logger as object, stream: new Writable({ write: (chunk, _encoding, done) => { lines.push(String(chunk)); done() } }) } }) as unknown as FastifyInstance
  await logged.register(service, { config })
  await logged.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => logged.close())
  const tickets = [await ticketFor(), await ticketFor()]
  const clients = [await open(t, logged, { query: `?ticket=${tickets[0]}` }), await open(t, logged, { protocols: ['keel.v1', `ticket.${tickets[1]}`] })]
  for (const client of clients) {
    await client.ask({ type: 'ping' })
    client.socket.close(4000)
    await client.closed
  }
  for (const ticket of tickets) await refusal(t, logged, { query: `?ticket=${ticket}` })
  await eventually(async () => { if (lines.filter(line => line.includes('websocket closed')).length < 2) throw new Error('not yet') })
  for (const ticket of tickets) t.notOk(lines.join('').includes(ticket))
  t.match(JSON.parse(lines.find(line => line.includes('websocket closed')) ?? '{}'), { requestId: clients[0]?.headers['x-request-id'], route: '/ws', userId: user.id, code: 4000, seconds: Number, received: 1, sent: 1 })
  t.match(JSON.parse(lines.findLast(line => line.includes('"msg":"request"')) ?? '{}'), { route: '/ws', path: '/ws', status: 401 })
})

/** A service whose database is away. */
async function lonely (t: Test): Promise<FastifyInstance> {
  return await listening(t, { DATABASE_URL: 'postgresql://postgres@127.0.0.1:1/none' }, withReservationStreams)
}

/** Tries until it works. */
async function eventually<T> (attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch {
      await sleep(10)
    }
  }
}

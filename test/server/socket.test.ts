import { connect, type AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { bearer, buildApp, registered } from '../helpers/app.ts'

/** Sends raw bytes and returns all that comes back until the connection ends. */
async function raw (app: FastifyInstance, text: string, { hangUp = false } = {}): Promise<string> {
  const { port } = app.server.address() as AddressInfo
  return await new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', chunk => { answer += String(chunk) })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
    if (hangUp) setTimeout(() => { socket.destroy() }, 100)
  })
}

/** The service, and a public route that takes a body. */
async function listening (t: Test, overrides = {}): Promise<FastifyInstance> {
  const app = await buildApp(t, overrides, app => app.post('/things', { config: { public: true }, schema: { hide: true, body: Type.Object({}) } }, async () => ({ done: true })))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

function problemOf (answer: string): Record<string, unknown> {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as Record<string, unknown>
}

t.test('headers of 20 KB are a 431 problem', async (t) => {
  const app = await listening(t)
  const answer = await raw(app, `GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`)
  t.match(answer, /^HTTP\/1.1 431 [^]*content-type: application\/problem\+json/i)
  t.match(answer, /x-content-type-options: nosniff/i)
  t.match(problemOf(answer), { status: 431, code: 'HEADERS_TOO_LARGE' })
})

for (const [name, text] of [
  ['what is not HTTP', 'hello\r\n\r\n'],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n'],
  ['a host that is none', 'GET / HTTP/1.1\r\nHost: a b/<x>\r\nConnection: close\r\n\r\n'],
  ['no host', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n'],
  ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n']
] as const) {
  t.test(`${name} is a 400 problem`, async (t) => {
    const app = await listening(t)
    const answer = await raw(app, text)
    t.match(answer, /^HTTP\/1.1 400 /)
    t.match(problemOf(answer), { status: 400, code: 'BAD_REQUEST' })
  })
}

t.test('without a Host, the answer has the headers of any other', async (t) => {
  const app = await listening(t)
  const answer = await raw(app, 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n')
  t.match(answer, /x-content-type-options: nosniff/i)
  t.match(answer, /x-request-id: /i)
})

t.test('a host is a name or an address, with or without a port', async (t) => {
  const app = await listening(t)
  for (const host of ['example.com', 'example.com:3000', 'EXAMPLE.com.', '127.0.0.1:80', '[::1]:3000', 'xn--bcher-kva.example', 'my_host', '']) {
    t.match(await raw(app, `GET /health/live HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`), /^HTTP\/1.1 200 /, host)
  }
  t.match(await raw(app, 'GET /health/live HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 /, 'HTTP/1.0 has none')
})

t.test('what was asked before garbage is answered before the garbage is', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.post('/slow', { config: { public: true }, schema: { hide: true } }, async () => {
      await new Promise(resolve => setTimeout(resolve, 100))
      return { done: true }
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const slow = 'POST /slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
  for (const count of [1, 2]) {
    const statuses = (await raw(app, `${slow.repeat(count)}GARBAGE\r\n\r\n`)).match(/HTTP\/1.1 \d+/g)
    t.same(statuses, [...Array.from({ length: count }, () => 'HTTP/1.1 200'), 'HTTP/1.1 400'])
  }
})

t.test('a body that breaks off into garbage is refused at once', async (t) => {
  const app = await listening(t)
  const answer = await raw(app, 'POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"emaGARBAGE\r\n\r\n')
  t.match(answer, /^HTTP\/1.1 400 /)
  t.equal(answer.match(/HTTP\/1.1/g)?.length, 1)
})

t.test('an unknown expectation is ignored', async (t) => {
  const app = await listening(t)
  t.match(await raw(app, 'GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: weird\r\nConnection: close\r\n\r\n'), /^HTTP\/1.1 200 /)
})

t.test('clients that reset the connection at once are no errors of the service', async (t) => {
  const failures: unknown[] = []
  const app = await buildApp(t, {}, app => app.addHook('onError', async (_request, _reply, error) => { failures.push(error) }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  for (let i = 0; i < 30; i++) {
    await new Promise<void>(resolve => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write('GET /products HTTP/1.1\r\nHost: x\r\n\r\n')
        socket.resetAndDestroy()
      })
      socket.on('close', () => resolve()).on('error', () => {})
    })
  }
  t.equal((await app.inject('/products')).statusCode, 200)
  t.same(failures, [])
})

t.test('a request that does not arrive in time is a 408 problem', async (t) => {
  const app = await listening(t, { REQUEST_TIMEOUT_MS: 200 })
  const answer = await raw(app, 'POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"ema')
  t.match(answer, /^HTTP\/1.1 408 /)
  t.match(problemOf(answer), { status: 408, code: 'REQUEST_TIMEOUT' })
})

t.test('a client that hangs up half-way harms nobody', async (t) => {
  const app = await listening(t)
  const { token } = await registered(app)
  for (const text of ['GET /produ', 'PATCH /users/me HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n' + `Authorization: Bearer ${token}\r\n\r\n{"name":"`]) {
    t.equal(await raw(app, text, { hangUp: true }), '')
  }
  t.equal((await app.inject({ url: '/users/me', headers: bearer(token) })).statusCode, 200)
})

t.test('requests under way at shutdown are answered', async (t) => {
  const { promise: underWay, resolve: begun } = Promise.withResolvers<void>()
  const app = await buildApp(t, {}, app => {
    app.get('/slow', { config: { public: true }, schema: { hide: true } }, async () => {
      begun()
      await new Promise(resolve => setTimeout(resolve, 300))
      return { done: true }
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const answer = raw(app, 'GET /slow HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n')
  await underWay
  await app.close()
  t.match(await answer, /200 OK[^]*\{"done":true\}/)
})

t.test('OPTIONS * names the methods of the service', async (t) => {
  for (const ALLOWED_ORIGINS of [[], ['https://app.example']]) {
    const answer = await raw(await listening(t, { ALLOWED_ORIGINS }), 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    t.match(answer, /^HTTP\/1.1 204 [^]*allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT/)
  }
})

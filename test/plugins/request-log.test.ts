import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { asAdmin, bearer, buildApp, registered } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'
import { buildLogged } from '../helpers/log.ts'

/** The service and what it logs from now on. */
async function logged (t: Test) {
  // A slow query would be a line of its own.
  const { app: service, lines } = await buildLogged(t, { DATABASE_SLOW_MS: 0 })
  lines.length = 0
  return { service, lines }
}

t.test('a request is one line with what an operator asks for', async (t) => {
  const { service, lines } = await logged(t)
  const response = await service.inject('/products?q=secret')
  t.equal(lines.length, 1)
  t.match(lines[0], { method: 'GET', route: '/products', path: '/products', status: 200, durationMs: Number, requestId: response.headers['x-request-id'] })
  t.notMatch(JSON.stringify(lines), /secret/, 'the query is not logged')
})

t.test('the line names the signed-in user and the route pattern', async (t) => {
  const { service, lines } = await logged(t)
  const { id, token } = await asAdmin(service)
  lines.length = 0
  await service.inject({ method: 'DELETE', url: '/products/0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', headers: { ...bearer(token), 'if-match': '*' } })
  t.match(lines[0], { route: '/products/:id', status: 404, userId: id })
})

t.test('a request that no route answers is a line too', async (t) => {
  const { service, lines } = await logged(t)
  await service.inject('/nowhere')
  t.match(lines, [{ method: 'GET', path: '/nowhere', status: 404 }])
})

t.test('passwords and tokens never reach the log', async (t) => {
  const { service, lines } = await logged(t)
  const { token } = await registered(service)
  const [password, refreshToken] = ['s3cret of somebody', 's3cret-of-a-session']
  await service.inject({ url: '/users/me', headers: bearer(token) })
  await service.inject({ method: 'PATCH', url: '/users/me', headers: bearer(token), payload: { password, refreshToken } })
  service.log.info({ body: { password }, headers: { authorization: token, cookie: token }, accessToken: token, user: { profile: { refreshToken } } }, 'careless')
  const text = JSON.stringify(lines)
  for (const secret of [password, token, refreshToken]) t.notOk(text.includes(secret))
  t.match(text, /\[redacted\]/)
})

t.test('a well-formed X-Request-Id is kept; another is replaced', async (t) => {
  const app = await buildApp(t)
  const ask = async (id: string) => (await app.inject({ url: '/health/live', headers: { 'x-request-id': id } })).headers['x-request-id']
  t.equal(await ask('0197fbd2-6f0f-7a5e'), '0197fbd2-6f0f-7a5e')
  for (const id of ['short', 'x'.repeat(65), 'with space here', '<script>alert(1)</script>', '"quoted-value"']) {
    t.match(await ask(id), /^[0-9a-f-]{36}$/, id)
  }
})

t.test('a client that leaves before the answer is a line, without the query, and no warning', async (t) => {
  const { promise: left, resolve: leave } = Promise.withResolvers<void>()
  const { app, lines } = await buildLogged(t, {}, app => {
    app.get('/slow', { config: { public: true }, schema: { hide: true } }, async () => { await left; return 'for nobody' })
  })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  lines.length = 0
  const control = new AbortController()
  const asked = fetch(`${address}/slow?ticket=secret`, { signal: control.signal }).catch(() => {})
  await until(async () => await connections(app) > 0)
  await sleep(50)
  control.abort()
  await asked
  await until(() => lines.length > 0)
  leave()
  await sleep(50)
  t.match(lines, [{ level: 30, msg: 'the client hung up', method: 'GET', route: '/slow', path: '/slow', durationMs: Number }])
  t.equal(lines.length, 1)
})

async function connections (app: FastifyInstance): Promise<number> {
  return await promisify(app.server.getConnections.bind(app.server))()
}

import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import app from '../../app.ts'
import { serverOptions } from '../../server.ts'
import { bearer, buildApp, registered, testConfig } from '../helpers/app.ts'

type Line = Record<string, unknown> & { msg: string }

/** The service with its log kept as parsed lines. */
async function logged (t: Test): Promise<{ service: FastifyInstance, lines: Line[] }> {
  const lines: Line[] = []
  const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => { lines.push(JSON.parse(String(chunk)) as Line); done() } })
  const config = await testConfig({ LOG_LEVEL: 'info' })
  const options = serverOptions(config)
  const service = Fastify({ ...options, logger: { ...options.logger as object, stream } }) as unknown as FastifyInstance
  await service.register(app, { config })
  t.teardown(() => service.close())
  await service.ready()
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
  const { id, token } = await registered(service)
  lines.length = 0
  await service.inject({ url: '/orders/0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', headers: bearer(token) })
  t.match(lines[0], { route: '/orders/:id', status: 404, userId: id })
})

t.test('a request that no route answers is a line too', async (t) => {
  const { service, lines } = await logged(t)
  await service.inject('/nowhere')
  t.match(lines, [{ method: 'GET', path: '/nowhere', status: 404 }])
})

t.test('passwords and tokens never reach the log', async (t) => {
  const { service, lines } = await logged(t)
  const { password, token, refreshToken } = await registered(service)
  await service.inject({ method: 'POST', url: '/auth/refresh', payload: { refreshToken } })
  await service.inject({ method: 'POST', url: '/auth/login', payload: { email: 'x', password } })
  await service.inject({ url: '/users/me', headers: bearer(token) })
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

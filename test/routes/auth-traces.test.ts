// What signing in leaves elsewhere: places in line, counts, lines of the log.
import { createHook } from 'node:async_hooks'
import { connect, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { scrape, valueOf } from '../helpers/metrics.ts'
import { withPassword } from '../helpers/passwords.ts'

t.test('passwords of clients that hung up are not checked, and a long line is a 503 problem', async (t) => {
  let derivations = 0
  const hook = createHook({ init: (_id, type) => { if (/argon2/i.test(type)) derivations++ } }).enable()
  t.teardown(() => hook.disable())
  const app = await buildApp(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const body = JSON.stringify({ email: 'ada@example.com', password: 'correct horse battery', name: 'Ada' })
  const { promise: refused, resolve } = Promise.withResolvers<void>()
  const sockets = Array.from({ length: 150 }, () => {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    socket.write(`POST /auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    socket.on('data', chunk => { if (/^HTTP\/1.1 503 [^]*"TOO_BUSY"/.test(String(chunk))) resolve() })
    return socket
  })
  await refused
  await Promise.all(sockets.map(socket => new Promise(resolve => socket.on('close', resolve).destroy())))
  // Would come behind them in line, once the service knows that they are gone.
  while ((await withPassword(app)).token === undefined) await sleep(10)
  t.ok(derivations < 50, `${derivations} of 150`)
})

t.test('logins are counted by how they ended', async (t) => {
  const app = await buildApp(t)
  const { email } = await withPassword(app)
  await app.inject({ method: 'POST', url: '/auth/login', payload: { email, password: 'wrong horse battery' } })
  const text = await scrape(app)
  t.equal(valueOf(text, 'logins_total{outcome="done"}'), 1)
  t.equal(valueOf(text, 'logins_total{outcome="refused"}'), 1)
  t.equal(valueOf(text, 'logins_total{outcome="throttled"}'), 0, 'what did not happen yet is there')
})

t.test('passwords and tokens never reach the log', async (t) => {
  const { app: service, lines } = await buildLogged(t)
  const { password, token, refreshToken } = await withPassword(service)
  await service.inject({ method: 'POST', url: '/auth/refresh', payload: { refreshToken } })
  await service.inject({ method: 'POST', url: '/auth/login', payload: { email: 'x', password } })
  t.ok(lines.some(({ path, status }) => path === '/auth/login' && status === 400))
  for (const secret of [password, token, refreshToken]) t.notOk(JSON.stringify(lines).includes(secret))
})

t.test('a 401 says how to authenticate', async (t) => {
  const app = await buildApp(t)
  const login = await app.inject({ method: 'POST', url: '/auth/login', payload: { email: 'nobody@example.com', password: 'x' } })
  const refresh = await app.inject({ method: 'POST', url: '/auth/refresh', payload: { refreshToken: 'x' } })
  for (const response of [login, refresh]) {
    t.equal(response.statusCode, 401)
    t.equal(response.headers['www-authenticate'], 'Bearer')
  }
})

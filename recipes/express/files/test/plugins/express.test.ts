import type { AddressInfo } from 'node:net'
import express from 'express'
import type { FastifyContextConfig } from 'fastify'
import t, { type Test } from 'tap'
import { asAdmin, bearer, buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'

/** A router with what the sample does not have: how it reads, fails and breaks off. */
function trouble (): express.Router {
  const router = express.Router()
  router.get('/who', (request, response) => {
    const { id, user, ip } = request as unknown as { id: string, user: { id: string }, ip: string }
    response.json({ id, user: user.id, ip, url: request.url, baseUrl: request.baseUrl })
  })
  router.get('/fails', () => { throw new Error('a secret of the router') })
  router.get('/rejects', async () => { throw Object.assign(new Error('gone'), { statusCode: 410 }) })
  router.get('/text', (_request, _response, next) => next('a text'))
  router.get('/half', (_request, response) => {
    response.write('a beginning')
    throw new Error('too late')
  })
  router.post('/json', express.json(), (request, response) => { response.json(request.body) })
  router.post('/raw', (request, response) => { request.pipe(response) })
  router.get('/bare', (_request, response) => { response.status(204).end() })
  return router
}

/** The service with that router at /old, over a socket: Express has its own idea of Node's messages. */
async function mounted (t: Test, config: FastifyContextConfig = { scopes: [] }) {
  const app = await buildApp(t, {}, app => app.register(async fastify => fastify.mountExpress(trouble(), { config, methods: ['GET', 'POST'] }), { prefix: '/old' }))
  const admin = await asAdmin(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const ask = async (path: string, { headers, ...init }: RequestInit = {}) => await fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers: { ...bearer(admin.token), connection: 'close', ...headers } })
  return { app, admin, ask }
}

t.test('the guard is in front of it, with token and scopes', async t => {
  const { ask } = await mounted(t, { scopes: ['products:write'] })
  t.equal((await ask('/old/who')).status, 200)
  for (const path of ['/old/who', '/old/elsewhere']) t.match(await (await ask(path, { headers: { authorization: '' } })).json(), { status: 401 })
})

t.test('a mount says who may call it, or the service does not start', async t => {
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => fastify.mountExpress(trouble(), { config: {} }), { prefix: '/old' })))
})

t.test('it knows the request as the service does', async t => {
  const { app, ask, admin } = await mounted(t)
  const { id } = (await app.inject({ url: '/users/me', headers: bearer(admin.token) })).json()
  t.same(await (await ask('/old/who?x=1', { headers: { 'x-request-id': 'the-request' } })).json(), { id: 'the-request', user: id, ip: '127.0.0.1', url: '/who?x=1', baseUrl: '/old' })
})

t.test('its answers have the headers of the service, and none of Express', async t => {
  const { ask } = await mounted(t)
  const { headers } = await ask('/old/who')
  t.ok(headers.get('x-request-id'))
  t.equal(headers.get('x-content-type-options'), 'nosniff')
  t.notOk(headers.get('x-powered-by'))
  t.equal((await ask('/old/bare')).status, 204)
})

t.test('what goes wrong in it is a problem', async t => {
  const { ask } = await mounted(t)
  for (const path of ['/old/fails', '/old/text']) {
    const response = await ask(path)
    t.match(response.headers.get('content-type'), /problem\+json/)
    const text = await response.text()
    t.match(JSON.parse(text), { status: 500 })
    t.notMatch(text, /secret|a text/)
  }
  t.match(await (await ask('/old/rejects')).json(), { status: 410 })
  for (const path of ['/old/nothing', '/old/', '/old']) t.match(await (await ask(path)).json(), { status: 404 })
  t.match(await (await ask('/old/who', { method: 'DELETE' })).json(), { status: 405 })
})

t.test('its body parsers read the body, and their errors are problems', async t => {
  const { ask } = await mounted(t)
  const post = async (body: string, path = '/old/json') => await ask(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  t.same(await (await post('{"a":[1]}')).json(), { a: [1] })
  t.match(await (await post('{"a":')).json(), { status: 400 })
  t.match(await (await post(`"${'x'.repeat(200_000)}"`)).json(), { status: 413 })
  t.match(await (await post('x'.repeat(1_100_000), '/old/raw')).json(), { status: 413 }, 'BODY_LIMIT counts here, too')
  t.equal(await (await post('as it is', '/old/raw')).text(), 'as it is')
})

t.test('its requests are in the log and the metrics as they came', async t => {
  const { app, lines } = await buildLogged(t, {}, app => app.register(async fastify => fastify.mountExpress(trouble(), { config: { public: true } }), { prefix: '/old' }))
  await app.inject('/old/bare')
  t.match(lines.filter(({ msg }) => msg === 'request'), [{ route: '/old/*', path: '/old/bare', status: 204 }])
  t.match((await app.inject('/metrics')).body, /route="\/old\/\*"/)
})

t.test('`inject` works with it', async t => {
  const { app, admin } = await mounted(t)
  t.match((await app.inject({ url: '/old/who', headers: bearer(admin.token) })).json(), { url: '/who' })
  t.same((await app.inject({ method: 'POST', url: '/old/json', headers: bearer(admin.token), payload: { a: 1 } })).json(), { a: 1 })
  t.match((await app.inject({ url: '/old/nothing', headers: bearer(admin.token) })).json(), { status: 404 })
})

t.test('an error after the beginning of an answer ends the connection, and the service goes on', async t => {
  const { ask } = await mounted(t)
  await t.rejects(ask('/old/half').then(response => response.text()))
  t.equal((await ask('/old/who')).status, 200)
})

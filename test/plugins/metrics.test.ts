import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type AddressInfo } from 'node:net'
import type { InjectOptions } from 'fastify'
import { Type } from 'typebox'
import t from 'tap'
import { bearer, buildApp, registered } from '../helpers/app.ts'
import { scrape, valueOf } from '../helpers/metrics.ts'
import { freePort } from '../helpers/process.ts'
import { until } from '../helpers/until.ts'
import { startUpstream } from '../helpers/upstream.ts'

const METRICS_TOKEN = 'a-token-for-metrics'

t.test('requests are counted by method, pattern of the route and status', async (t) => {
  const app = await buildApp(t)
  const id = '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'
  await app.inject('/products')
  await app.inject('/products?q=lamp')
  await app.inject({ method: 'HEAD', url: '/products' })
  await app.inject(`/products/${id}`)
  const text = await scrape(app)
  t.equal(valueOf(text, 'http_request_duration_seconds_count{method="GET",route="/products",status="200"}'), 2)
  t.equal(valueOf(text, 'http_request_duration_seconds_count{method="HEAD",route="/products",status="200"}'), 1)
  t.equal(valueOf(text, 'http_request_duration_seconds_count{method="GET",route="/products/:id",status="404"}'), 1)
  t.notMatch(text, new RegExp(id), 'a path is no label')
  t.equal(valueOf(text, 'http_request_duration_seconds_bucket{le="+Inf",method="GET",route="/products",status="200"}'), 2)
})

t.test('whatever no route answers is one series for each status, by whatever method', async (t) => {
  const app = await buildApp(t)
  for (let index = 0; index < 50; index++) await app.inject(`/nowhere/${index}`)
  for (const method of ['PUT', 'PROPFIND', 'TRACE'] as InjectOptions['method'][]) await app.inject({ method, url: '/nowhere' })
  await app.inject({ method: 'DELETE', url: '/products' })
  await app.inject('/products/')
  const counts = (await scrape(app)).match(/^http_request_duration_seconds_count.*/gm)
  t.same(counts, [
    'http_request_duration_seconds_count{method="unknown",route="unknown",status="404"} 54',
    'http_request_duration_seconds_count{method="unknown",route="unknown",status="405"} 1'
  ])
})

t.test('calls of other services are timed by origin and outcome; origins that users name are one', async (t) => {
  const upstream = await startUpstream(t)
  const app = await buildApp(t, { HTTP_UNTRUSTED_ALLOW: ['127.0.0.1'] })
  await app.http.request({ url: `${upstream.url}/things/1` })
  upstream.answer = (_request, response) => response.writeHead(404).end()
  await t.rejects(app.http.request({ url: upstream.url }), { code: 'UPSTREAM_STATUS' })
  await t.rejects(app.http.request({ url: upstream.url, isUntrusted: true }), { code: 'UPSTREAM_STATUS' })
  await t.rejects(app.http.request({ url: upstream.url, signal: AbortSignal.abort() }))
  const counts = (await scrape(app)).match(/^http_client_call_duration_seconds_count.*/gm)
  t.same(counts?.sort(), [
    `http_client_call_duration_seconds_count{origin="${upstream.url}",outcome="ABORTED"} 1`,
    `http_client_call_duration_seconds_count{origin="${upstream.url}",outcome="UPSTREAM_STATUS"} 1`,
    `http_client_call_duration_seconds_count{origin="${upstream.url}",outcome="done"} 1`,
    'http_client_call_duration_seconds_count{origin="untrusted",outcome="UPSTREAM_STATUS"} 1'
  ])
})

t.test('a client that leaves is no longer in flight, and counted', async (t) => {
  const arrived = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const app = await buildApp(t, {}, app => app.register(async app => app.get('/slow', { config: { public: true }, schema: { hide: true, response: { 200: Type.Object({}) } } }, async () => {
    arrived.resolve()
    await go.promise
    return {}
  })))
  await app.listen({ port: 0 })
  const client = connect((app.server.address() as AddressInfo).port, '127.0.0.1').end('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
  client.on('error', () => {})
  await arrived.promise
  t.equal(valueOf(await scrape(app), 'http_requests_in_flight'), 2, 'it and the scrape')
  client.resetAndDestroy()
  await until(async () => valueOf(await scrape(app), 'http_requests_aborted_total') === 1)
  t.equal(valueOf(await scrape(app), 'http_requests_in_flight'), 1)
  go.resolve()
  await sleep(10)
  t.equal(valueOf(await scrape(app), 'http_requests_in_flight'), 1, 'and its answer does not count again')
})

t.test('the process and the database are measured', async (t) => {
  const app = await buildApp(t)
  for (let n = 0; n < 3; n++) await app.inject('/products')
  const text = await scrape(app)
  t.ok(Number(valueOf(text, 'database_query_duration_seconds_count')) > 2)
  t.equal(valueOf(text, 'database_pool_connections_max'), app.config.DATABASE_POOL_MAX)
  t.equal(valueOf(text, 'database_pool_waiting'), 0)
  for (const name of ['nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes', 'process_resident_memory_bytes']) t.ok(valueOf(text, name) !== undefined, name)
  t.match(text, /nodejs_gc_duration_seconds/)
})

t.test('connections in use and who waits for one are seen', async (t) => {
  const app = await buildApp(t, { DATABASE_POOL_MAX: 1 })
  const started = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const first = app.prisma.$transaction(async tx => { await tx.$queryRaw`SELECT 1`; started.resolve(); await end.promise })
  await started.promise
  const second = app.prisma.product.count().then(count => count)
  await until(async () => valueOf(await scrape(app), 'database_pool_waiting') === 1)
  t.equal(valueOf(await scrape(app), 'database_pool_connections_in_use'), 1)
  end.resolve()
  await Promise.all([first, second])
  t.equal(valueOf(await scrape(app), 'database_pool_connections_in_use'), 0)
})

t.test('a worker has metrics, and a database that is away does not take them', async (t) => {
  const app = await buildApp(t, { ROLE: 'worker', DATABASE_URL: 'postgresql://user:hunter2@127.0.0.1:1/none' })
  const response = await app.inject('/metrics')
  t.equal(response.statusCode, 200)
  t.match(response.body, /nodejs_heap_size_used_bytes \d/)
  t.notMatch(response.body, /hunter2/)
})

t.test('OpenMetrics is for who accepts it, and leaves the other format as it is', async (t) => {
  const app = await buildApp(t)
  const ask = async (accept: string) => await app.inject({ url: '/metrics', headers: { accept } })
  const open = await ask('application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3')
  t.match(open.headers['content-type'], /^application\/openmetrics-text; version=1\.0\.0/)
  t.match(open.body, /# TYPE http_requests_aborted counter\nhttp_requests_aborted_total 0/)
  t.match(open.body, /\n# EOF\n$/)
  for (const accept of ['text/plain', '*/*', 'application/openmetrics-text;q=0, text/plain']) {
    const plain = await ask(accept)
    t.match(plain.headers['content-type'], /^text\/plain; version=0\.0\.4/, accept)
    t.match(plain.body, /# TYPE http_requests_aborted_total counter\nhttp_requests_aborted_total 0/)
  }
})

t.test('a duration in OpenMetrics has the trace of its request', async (t) => {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const app = await buildApp(t)
  await app.inject({ url: '/products', headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } })
  const { body } = await app.inject({ url: '/metrics', headers: { accept: 'application/openmetrics-text' } })
  t.match(body, new RegExp(`^http_request_duration_seconds_bucket\\{le="[\\d.]+",method="GET",route="/products",status="200"\\} 1 # \\{trace_id="${traceId}"\\} [\\d.e-]+ \\d+`, 'm'))
})

t.test('with METRICS_TOKEN the metrics are for its holder', async (t) => {
  const app = await buildApp(t, { METRICS_TOKEN })
  const { token } = await registered(app)
  for (const headers of [{}, bearer('a-token-for-metricz'), bearer(`${METRICS_TOKEN}x`), bearer(token), { authorization: METRICS_TOKEN }, { authorization: `Basic ${METRICS_TOKEN}` }]) {
    const response = await app.inject({ url: '/metrics', headers })
    t.equal(response.statusCode, 401)
    t.match(response.headers['www-authenticate'], /^Bearer/)
    t.notMatch(response.body, /nodejs/)
  }
  t.equal((await app.inject({ url: '/metrics', headers: bearer(METRICS_TOKEN) })).statusCode, 200)
})

t.test('without one they are for this machine, in production for nobody', async (t) => {
  const app = await buildApp(t)
  for (const remoteAddress of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1']) t.equal((await app.inject({ url: '/metrics', remoteAddress })).statusCode, 200, remoteAddress)
  for (const remoteAddress of ['10.0.0.7', '::ffff:10.0.0.7', '2001:db8::1']) t.equal((await app.inject({ url: '/metrics', remoteAddress })).statusCode, 401, remoteAddress)
  const production = await buildApp(t, { NODE_ENV: 'production' })
  t.equal((await production.inject('/metrics')).statusCode, 404)
})

t.test('METRICS_PORT answers them on a port of their own, and nothing else', async (t) => {
  const METRICS_PORT = await freePort()
  const app = await buildApp(t, { METRICS_PORT, NODE_ENV: 'production' })
  const ask = async (path: string, method = 'GET') => await fetch(`http://127.0.0.1:${METRICS_PORT}${path}`, { method })
  await app.inject('/products')
  t.match(await (await ask('/metrics?x=1')).text(), /http_request_duration_seconds_count\{method="GET",route="\/products",status="200"\} 1/)
  t.equal(await (await ask('/metrics', 'HEAD')).text(), '')
  t.equal((await ask('/products')).status, 404)
  t.equal((await ask('/metrics', 'POST')).status, 405)
  t.match((await ask('/products')).headers.get('content-type'), 'application/problem+json')
  t.equal((await app.inject('/metrics')).statusCode, 404, 'the service itself does not')
})

t.test('METRICS_PORT asks for the token where there is one', async (t) => {
  const METRICS_PORT = await freePort()
  await buildApp(t, { METRICS_PORT, METRICS_TOKEN })
  const ask = async (headers: Record<string, string>) => (await fetch(`http://127.0.0.1:${METRICS_PORT}/metrics`, { headers })).status
  t.equal(await ask({}), 401)
  t.equal(await ask(bearer(METRICS_TOKEN)), 200)
})

t.test('a METRICS_PORT that is taken stops the start and is named', async (t) => {
  const METRICS_PORT = await freePort()
  await buildApp(t, { METRICS_PORT })
  await t.rejects(buildApp(t, { METRICS_PORT }), { message: `METRICS_PORT ${METRICS_PORT} on 127.0.0.1 is in use: stop what listens there, or set another.` })
})

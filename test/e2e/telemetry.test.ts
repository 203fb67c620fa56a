// Traces of a started process: what is exported, what the log and the answers say of it, and what a collector that is away does.
import { randomBytes } from 'node:crypto'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { kinds, startCollector } from '../helpers/collector.ts'
import { signUp } from '../helpers/accounts.ts'
import { until } from '../helpers/until.ts'
import { call, copyOfCheckout, freePort, startService } from '../helpers/process.ts'
import { newSecret, startReceiver } from '../helpers/receiver.ts'

/** What a caller sends, and the two ids in it. */
function newTrace (): { traceparent: string, traceId: string, spanId: string } {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')]
  return { traceparent: `00-${traceId}-${spanId}-01`, traceId, spanId }
}

/** The lines of a log that are JSON. */
function linesOf (output: string): Record<string, unknown>[] {
  return output.split('\n').filter(line => line.startsWith('{')).map(line => JSON.parse(line) as Record<string, unknown>)
}

const folder = copyOfCheckout(t)
// A request that asks the database and leaves something to do.
cpSync('test/helpers/reservations.ts', join(folder, 'routes/reservations/index.ts'), { recursive: true })

t.test('npm start with a collector', { timeout: 240_000 }, async t => {
  const collector = await startCollector(t)
  const secret = newSecret()
  const receiver = await startReceiver(t, secret)
  const service = await startService(t, folder, {
    NODE_ENV: 'test',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    OTEL_SERVICE_NAME: 'name-of-the-test',
    WEBHOOK_URLS: `${receiver.url}/path-of-the-webhook`,
    WEBHOOK_SECRET: secret
  })
  const { token } = await signUp(service, 'admin')
  const product = await call(`${service.url}/products`, { token, body: { sku: 'LAMP', name: 'Lamp', description: '', price: { amount: 1999, currency: 'EUR' }, stock: 5 } })
  const { traceparent, traceId, spanId } = newTrace()
  const reservation = await call(`${service.url}/reservations`, { token, headers: { traceparent }, body: { productId: product.body.id, quantity: 2 } })
  const ofTrace = () => collector.spans.filter(span => span.traceId === traceId)

  await t.test('a request is a span of its caller\'s trace, with those of Prisma and pg below it', async t => {
    t.equal(reservation.status, 201)
    const server = await until(() => ofTrace().find(({ kind }) => kind === kinds.server))
    t.match(server, { name: 'POST /reservations', parentSpanId: spanId, attributes: { 'http.route': '/reservations', 'http.response.status_code': 201 } })
    for (const name of [/^prisma:client:operation/, /^pg\.query/]) await until(() => ofTrace().some(span => name.test(span.name)))
    // A parent ends, and is sent, after its children.
    const withoutParent = () => ofTrace().filter(({ parentSpanId }) => !ofTrace().some(({ spanId }) => spanId === parentSpanId))
    await until(() => withoutParent().length === 1)
    t.same(withoutParent(), [server], 'no other span is without its parent')
    t.match(collector.text(), /name-of-the-test/, 'OTEL_SERVICE_NAME counts')
  })

  await t.test('so is the job that it sends, whose log lines name the trace', async t => {
    const consumer = await until(() => ofTrace().find(({ name }) => name === 'process note-reservation'))
    const server = ofTrace().find(({ kind }) => kind === kinds.server)
    t.equal(consumer.kind, kinds.consumer)
    t.equal(consumer.parentSpanId, server?.spanId)
    const done = await until(() => linesOf(service.output()).find(({ msg, queue, traceId: id }) => msg === 'job done' && queue === 'note-reservation' && id === traceId))
    t.equal(done.requestId, reservation.headers.get('x-request-id'))
  })

  await t.test('so are the line of the request and the body of a problem', async t => {
    const { traceparent, traceId } = newTrace()
    const problem = await call(`${service.url}/products/0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11`, { token, headers: { traceparent } })
    t.match(problem.body, { status: 404, traceId })
    t.match(await until(() => linesOf(service.output()).find(line => line.traceId === traceId)), { msg: 'request', route: '/products/:id', status: 404 })
    const span = await until(() => collector.spans.find(span => span.traceId === traceId && span.kind === kinds.server))
    t.equal(span.status, 0, 'what the service refuses is no error of it')
  })

  await t.test('without a caller\'s trace, or with a malformed one, a trace begins with the request', async t => {
    for (const traceparent of [undefined, `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`]) {
      const problem = await call(`${service.url}/nowhere`, { headers: traceparent === undefined ? {} : { traceparent } })
      t.match(problem.body.traceId, /^(?!0{32})[0-9a-f]{32}$/)
      await until(() => collector.spans.some(({ traceId, kind }) => traceId === problem.body.traceId && kind === kinds.server))
      await until(() => linesOf(service.output()).some(line => line.traceId === problem.body.traceId))
    }
  })

  await t.test('what is asked of others carries the trace on', async t => {
    const { headers } = await until(() => receiver.received[0])
    const [, id, parent] = String(headers.traceparent).split('-')
    const client = await until(() => collector.spans.find(({ spanId }) => spanId === parent))
    t.match(client, { traceId: id, kind: kinds.client })
    t.ok(collector.spans.some(({ traceId, kind }) => traceId === id && kind === kinds.consumer), 'of the job that asks')
  })

  await t.test('a trace begins with a request or a job alone', async t => {
    const ids = new Set(collector.spans.map(({ spanId }) => spanId))
    const roots = collector.spans.filter(({ parentSpanId }) => !ids.has(parentSpanId) && parentSpanId === '')
    t.same([...new Set(roots.map(({ kind }) => kind))].filter(kind => kind !== kinds.server && kind !== kinds.consumer), [])
  })

  await t.test('probes and scrapes are none', async t => {
    const { traceparent, traceId } = newTrace()
    for (const path of ['/health/live', '/health/ready', '/metrics']) t.equal((await fetch(`${service.url}${path}`, { headers: { traceparent } })).status, 200, path)
    await call(`${service.url}/nowhere`, { headers: { traceparent } })
    await until(() => collector.spans.some(span => span.traceId === traceId))
    t.same(collector.spans.filter(({ name }) => /\/(?:health|metrics)/.test(name)), [])
  })

  await t.test('no secret is exported: tokens, bodies, queries, paths of webhooks', async t => {
    const { traceparent, traceId } = newTrace()
    await call(`${service.url}/products?q=query-of-the-test`, { token, headers: { traceparent, cookie: 'cookie-of-the-test=1' } })
    await call(`${service.url}/users/me`, { token, method: 'PATCH', body: { name: 'body-of-the-test' } })
    await until(() => collector.spans.some(span => span.traceId === traceId && span.name === 'GET /products'))
    await until(() => collector.spans.some(span => span.name === 'PATCH /users/me' && span.attributes['http.response.status_code'] === 200))
    const text = collector.text()
    t.match(text, /url\.path/, 'it is text that can be looked through')
    for (const hidden of [token, 'body-of-the-test', 'query-of-the-test', 'cookie-of-the-test', 'path-of-the-webhook', secret]) t.notOk(text.includes(hidden), hidden)
  })

  await t.test('what has not been sent is sent at the end', async t => {
    const { traceparent, traceId } = newTrace()
    await call(`${service.url}/products`, { headers: { traceparent } })
    const { code } = await service.stop()
    t.equal(code, 0)
    t.ok(collector.spans.some(span => span.traceId === traceId))
  })
})

t.test('a collector that is away: nothing waits for it, and the log says so', { timeout: 240_000 }, async t => {
  const service = await startService(t, folder, { NODE_ENV: 'test', OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}`, OTEL_BSP_SCHEDULE_DELAY: '100', OTEL_EXPORTER_OTLP_TIMEOUT: '1000' }, 200, 'kit/serve')
  const { traceparent, traceId } = newTrace()
  const began = performance.now()
  for (let count = 0; count < 50; count++) t.equal((await call(`${service.url}/products`, { headers: { traceparent } })).status, 200)
  t.ok(performance.now() - began < 10_000, '50 requests')
  await until(() => linesOf(service.output()).some(({ msg }) => msg === 'traces can\'t be sent'))
  t.ok(linesOf(service.output()).some(line => line.traceId === traceId))
  const stopping = performance.now()
  t.equal((await service.stop()).code, 0)
  t.ok(performance.now() - stopping < 8_000, 'the end')
})

t.test('without a collector: the caller\'s trace is in the log and in problems, and nothing of the SDK is loaded', { timeout: 240_000 }, async t => {
  const service = await startService(t, folder, { NODE_ENV: 'test', NODE_DEBUG: 'module' }, 200, 'kit/serve')
  const { traceparent, traceId } = newTrace()
  t.match((await call(`${service.url}/nowhere`, { headers: { traceparent } })).body, { traceId })
  t.equal((await call(`${service.url}/nowhere`)).body.traceId, undefined)
  await until(() => linesOf(service.output()).some(line => line.traceId === traceId))
  t.notMatch(service.output(), /sdk-trace/)
})

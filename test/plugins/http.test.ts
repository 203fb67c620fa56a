import { channel } from 'node:diagnostics_channel'
import { createServer, type AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { Type } from 'typebox'
import { json, failureOf, startUpstream, withHttp } from '../helpers/upstream.ts'

const Thing = Type.Object({ name: Type.String(), size: Type.Optional(Type.Integer()) })
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

t.test('an answer is JSON of its schema; what the schema does not name is kept', async t => {
  const upstream = await startUpstream(t)
  upstream.answer = (_request, response) => json(response, { name: 'lamp', colour: 'red' }, 201, { 'x-kind': 'thing' })
  const { http } = await withHttp(t)
  const { status, headers, body } = await http.request({ url: `${upstream.url}/things?q=1`, method: 'POST', json: { name: 'é' }, schema: Thing, headers: { Authorization: 'Bearer secret' } })
  const name: string = body.name
  t.equal(status, 201)
  t.equal(headers['x-kind'], 'thing')
  t.equal(name, 'lamp')
  t.same(body, { name: 'lamp', colour: 'red' })
  t.match(upstream.requests[0], { method: 'POST', url: '/things?q=1', body: '{"name":"é"}', headers: { 'content-type': 'application/json', accept: 'application/json', authorization: 'Bearer secret' } })
})

t.test('without a schema the body is what came; a body is sent as it is', async t => {
  const upstream = await startUpstream(t)
  upstream.answer = (_request, response) => response.end(Buffer.from([0, 255, 1]))
  const { http } = await withHttp(t)
  const { body } = await http.request({ url: upstream.url, method: 'PUT', body: 'a,b', headers: { 'content-type': 'text/csv' } })
  t.same(body, Buffer.from([0, 255, 1]))
  t.match(upstream.requests[0], { body: 'a,b', headers: { 'content-type': 'text/csv' } })
})

t.test('an answer that is not of its schema, not JSON or not UTF-8 is UPSTREAM_INVALID, without its values', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  for (const body of ['{"name":5417}', '{"name":"lamp","size":"5417"}', '[]', 'null', '{"name":', '<html>5417</html>', '', Buffer.from('{"name":"\xff"}', 'latin1')]) {
    upstream.answer = (_request, response) => response.end(body)
    const error = await failureOf(http.request({ url: upstream.url, schema: Thing }))
    t.equal(error.code, 'UPSTREAM_INVALID', String(body))
    t.equal(error.statusCode, 500)
    t.notMatch(error.message, '5417')
  }
  t.equal(upstream.requests.length, 8, 'and is not asked for again')
})

t.test('what is not 2xx is UPSTREAM_STATUS with status and body', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  for (const [status, statusCode] of [[404, 500], [409, 500], [500, 503], [304, 500]] as const) {
    upstream.answer = (_request, response) => status === 304 ? void response.writeHead(304).end() : json(response, { code: 'NOPE' }, status)
    const error = await failureOf(http.request({ url: upstream.url, schema: Thing }))
    t.match(error, { code: 'UPSTREAM_STATUS', status, statusCode })
    t.same(error.body, status === 304 ? undefined : { code: 'NOPE' })
  }
  upstream.answer = (_request, response) => response.writeHead(400).end('x'.repeat(2_000))
  const error = await failureOf(http.request({ url: upstream.url, maxBytes: 1_000 }))
  t.match(error, { code: 'UPSTREAM_STATUS', status: 400 })
  t.equal(error.body, undefined, 'a body that is too large is left')
})

t.test('redirects are not followed', async t => {
  const inner = await startUpstream(t)
  const upstream = await startUpstream(t)
  upstream.answer = (_request, response) => response.writeHead(302, { location: inner.url }).end()
  const { http } = await withHttp(t, { HTTP_UNTRUSTED_ALLOW: ['127.0.0.1'] })
  for (const isUntrusted of [false, true]) t.match(await failureOf(http.request({ url: upstream.url, isUntrusted })), { code: 'UPSTREAM_STATUS', status: 302 })
  t.equal(inner.connections(), 0)
})

t.test('gzip is unpacked; another encoding, a bad one and a bomb are UPSTREAM_INVALID', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  const answer = (body: Buffer, encoding: string) => { upstream.answer = (_request, response) => response.writeHead(200, { 'content-encoding': encoding }).end(body) }
  const invalid = async (maxBytes?: number) => (await failureOf(http.request({ url: upstream.url, maxBytes }))).code
  answer(gzipSync('{"name":"lamp"}'), 'GZIP')
  t.same((await http.request({ url: upstream.url, schema: Thing })).body, { name: 'lamp' })
  t.equal(upstream.requests[0]?.headers['accept-encoding'], 'gzip')
  answer(gzipSync('{"name":"lamp"}'), 'br')
  t.equal(await invalid(), 'UPSTREAM_INVALID')
  answer(Buffer.from('no gzip'), 'gzip')
  t.equal(await invalid(), 'UPSTREAM_INVALID')
  answer(gzipSync(Buffer.alloc(200 * 1024 * 1024)), 'gzip')
  t.match((await failureOf(http.request({ url: upstream.url }))).message, /more than 1048576 bytes/)
  answer(gzipSync(gzipSync(Buffer.alloc(10 * 1024 * 1024))), 'gzip, gzip')
  t.equal(await invalid(), 'UPSTREAM_INVALID')
})

t.test('an endless body is left at the bound, and its connection ended', async t => {
  const upstream = await startUpstream(t)
  upstream.answer = (_request, response) => {
    const more = () => { while (response.write(Buffer.alloc(65_536))); }
    response.on('drain', more)
    more()
  }
  const { http } = await withHttp(t)
  const error = await failureOf(http.request({ url: upstream.url, maxBytes: 100_000 }))
  t.equal(error.code, 'UPSTREAM_INVALID')
  while (upstream.open() > 0) await new Promise(setImmediate)
})

t.test('what is not HTTP, and endless headers, are UPSTREAM_INVALID', async t => {
  const { http } = await withHttp(t)
  for (const bytes of ['SSH-2.0-OpenSSH_9.9\r\n', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`]) {
    const server = createServer(socket => socket.on('error', () => {}).once('data', () => socket.write(bytes)))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const error = await failureOf(http.request({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }))
    t.equal(error.code, 'UPSTREAM_INVALID')
  }
})

t.test('a caller\'s mistake is an error of its own', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  await t.rejects(http.request({ url: upstream.url, headers: { 'x-thing': 'a\r\nb: c' } }), { code: 'UND_ERR_INVALID_ARG' })
  for (const url of ['nowhere', 'ftp://x/', 'file:///etc/passwd', upstream.url.replace('//', '//ada:secret@')]) {
    const error = await failureOf(http.request({ url }))
    t.equal(error.code, 'ADDRESS_REFUSED', url)
    t.notMatch(error.message, 'secret')
  }
  t.equal(upstream.requests.length, 0)
})

t.test('calls for a request pass its trace on, and to our own services its id and the time that is left', async t => {
  const upstream = await startUpstream(t)
  const app = await withHttp(t, {}, {
    extend: app => app.get('/relay', async request => {
      const client = app.http.for(request)
      await client.request({ url: upstream.url })
      await client.request({ url: upstream.url, isOwn: true })
      await client.request({ url: upstream.url, isOwn: true, timeoutMs: 4_000 })
      return { id: request.id }
    })
  })
  const { id } = (await app.inject({ url: '/relay', headers: { traceparent: TRACEPARENT, tracestate: 'a=1', 'x-request-timeout-ms': '20000' } })).json()
  const [foreign, own, hurried] = upstream.requests.map(({ headers }) => headers)
  t.match(foreign, { traceparent: TRACEPARENT, tracestate: 'a=1' })
  t.equal(foreign?.['x-request-id'], undefined)
  t.equal(foreign?.['x-request-timeout-ms'], undefined)
  t.match(own, { traceparent: TRACEPARENT, 'x-request-id': id })
  t.ok(Number(own?.['x-request-timeout-ms']) <= 5_000)
  t.ok(Number(hurried?.['x-request-timeout-ms']) <= 4_000)
  await app.inject({ url: '/relay', headers: { traceparent: '00-nonsense', tracestate: 'a=1' } })
  t.match(upstream.requests.at(-1)?.headers, { traceparent: undefined, tracestate: undefined })
})

t.test('strangers are told no trace; with OpenTelemetry\'s instrumentation there is one traceparent, its own', async t => {
  const upstream = await startUpstream(t)
  const app = await withHttp(t, { HTTP_UNTRUSTED_ALLOW: ['127.0.0.1'] }, {
    extend: app => app.get('/relay', async request => {
      await app.http.for(request).request({ url: upstream.url, isUntrusted: request.headers.accept === 'stranger' })
      return {}
    })
  })
  const relay = async (accept = '*/*') => {
    await app.inject({ url: '/relay', headers: { accept, traceparent: TRACEPARENT } })
    return upstream.requests.at(-1)?.headers.traceparent
  }
  t.equal(await relay('stranger'), undefined)
  t.equal(await relay(), TRACEPARENT)
  // What the instrumentation does.
  const otel = Symbol.for('opentelemetry.js.api.1')
  const inject = (message: unknown) => (message as { request: { addHeader: (name: string, value: string) => void } }).request.addHeader('traceparent', 'of the span')
  const created = channel('undici:request:create')
  Object.assign(globalThis, { [otel]: { propagation: {} } })
  created.subscribe(inject)
  t.teardown(() => {
    created.unsubscribe(inject)
    Reflect.deleteProperty(globalThis, otel)
  })
  t.equal(await relay(), 'of the span')
})

t.test('uncaught it is a 503 with Retry-After where it may pass, else a 500; neither names the upstream, no log line a secret', async t => {
  const lines: string[] = []
  const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => { lines.push(String(chunk)); done() } })
  const upstream = await startUpstream(t)
  const app = await withHttp(t, {}, {
    stream,
    extend: app => app.get('/relay', async () => await app.http.request({ url: `${upstream.url}/hidden-path?key=hidden-query`, method: 'POST', headers: { authorization: 'hidden-token' }, json: 'hidden-request' }))
  })
  for (const [status, expected, code] of [[500, 503, 'UNAVAILABLE'], [403, 500, 'INTERNAL_ERROR']] as const) {
    upstream.answer = (_request, response) => json(response, 'hidden-answer', status)
    const response = await app.inject('/relay')
    t.equal(response.statusCode, expected)
    t.match(response.json(), { code })
    t.equal(response.headers['retry-after'] !== undefined, expected === 503)
    t.notMatch(response.body, new URL(upstream.url).host)
  }
  t.match(lines.join(''), 'UPSTREAM_STATUS')
  t.notMatch(lines.join(''), 'hidden')
})

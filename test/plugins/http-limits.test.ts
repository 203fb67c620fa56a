import { connect, createServer, type AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import type { HttpCallError } from '../../plugins/http/index.ts'
import { Origins } from '../../plugins/http/origins.ts'
import { until } from '../helpers/until.ts'
import { deadlineOf, failureOf, json, startUpstream, withHttp } from '../helpers/upstream.ts'

/** A server that takes connections and says nothing. */
async function silent (t: Test): Promise<number> {
  const server = createServer(socket => { t.teardown(() => socket.destroy()) })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

t.test('an upstream that hangs, before its head or within its body, is UPSTREAM_TIMEOUT, and its connection is ended', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t, { HTTP_TIMEOUT_MS: 100 })
  for (const hang of ['head', 'body']) {
    upstream.answer = (_request, response) => { if (hang === 'body') response.writeHead(200, { 'content-length': '10' }).write('{') }
    const error = await failureOf(http.request({ url: upstream.url }))
    t.match(error, { code: 'UPSTREAM_TIMEOUT', statusCode: 503 })
    t.match(error.message, /^GET http:.*: no answer within 100 ms$/)
    await until(() => upstream.open() === 0)
  }
  t.ok(upstream.requests.length <= 2, 'and is not asked again')
})

t.test('so is one that never ends its handshake', async t => {
  const port = await silent(t)
  const { http } = await withHttp(t)
  t.equal((await failureOf(http.request({ url: `https://127.0.0.1:${port}`, timeoutMs: 100 }))).code, 'UPSTREAM_TIMEOUT')
})

t.test('the deadline is the end where it comes first; when it is over nothing is sent', async t => {
  const upstream = await startUpstream(t)
  upstream.answer = () => {}
  const { http } = await withHttp(t)
  t.match(await failureOf(http.request({ url: upstream.url, deadline: deadlineOf(100) })), { code: 'UPSTREAM_TIMEOUT', isFault: false })
  const { length } = upstream.requests
  t.equal((await failureOf(http.request({ url: upstream.url, deadline: deadlineOf(0) }))).code, 'UPSTREAM_TIMEOUT')
  t.equal((await failureOf(http.request({ url: upstream.url, timeoutMs: 0 }))).code, 'UPSTREAM_TIMEOUT')
  const over = deadlineOf(0)
  await until(() => over.signal.aborted)
  t.equal((await failureOf(http.request({ url: upstream.url, deadline: over }))).code, 'UPSTREAM_TIMEOUT')
  t.equal(upstream.requests.length, length)
})

t.test('a signal ends the call with its reason, also while it waits to try again', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  const reason = new Error('enough')
  for (const wait of ['answer', 'retry', 'already']) {
    upstream.answer = (_request, response) => { if (wait === 'retry') json(response, {}, 503, { 'retry-after': '3' }) }
    const before = upstream.requests.length
    const control = new AbortController()
    if (wait === 'already') control.abort(reason)
    const call = http.request({ url: upstream.url, signal: control.signal })
    void call.catch(() => {})
    if (wait !== 'already') await until(() => upstream.requests.length > before)
    control.abort(reason)
    await t.rejects(call, reason)
  }
  t.equal(upstream.requests.length, 2)
})

t.test('a call for a request ends when its client hangs up, and when it is answered as too late', async t => {
  const upstream = await startUpstream(t)
  upstream.answer = () => {}
  const failures: Error[] = []
  const app = await withHttp(t, { HTTP_TIMEOUT_MS: 60_000 }, {
    extend: app => app.get('/relay', async request => await app.http.for(request).request({ url: upstream.url }).catch(error => { failures.push(error) }))
  })
  const port = Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port)
  const socket = connect(port, '127.0.0.1', () => socket.write('GET /relay HTTP/1.1\r\nHost: x\r\n\r\n'))
  await until(() => upstream.requests.length === 1)
  socket.destroy()
  await until(() => failures.length === 1)
  t.match(failures[0], { message: 'The client has hung up.' })
  const response = await app.inject({ url: '/relay', headers: { 'x-request-timeout-ms': '100' } })
  t.equal(response.json().code, 'DEADLINE_EXCEEDED')
  await until(() => failures.length === 2)
  t.equal((failures[1] as HttpCallError).code, 'UPSTREAM_TIMEOUT')
  await until(() => upstream.open() === 0)
})

t.test('of the calls to an origin so many are under way, as many wait, and more are BULKHEAD_FULL; another origin is free', async t => {
  const [upstream, other] = [await startUpstream(t), await startUpstream(t)]
  const answers: (() => void)[] = []
  upstream.answer = (request, response) => { answers.push(() => json(response, { url: request.url })) }
  const { http } = await withHttp(t, { HTTP_ORIGIN_CONCURRENCY: 2, HTTP_TIMEOUT_MS: 60_000 })
  const calls = [1, 2, 3, 4].map(n => http.request({ url: `${upstream.url}/${n}` }))
  const error = await failureOf(http.request({ url: `${upstream.url}/5` }))
  t.match(error, { code: 'BULKHEAD_FULL', statusCode: 503 })
  t.equal((await http.request({ url: other.url })).status, 200)
  await until(() => answers.length === 2)
  t.equal(upstream.open(), 2)
  for (let n = 0; n < 4; n++) {
    await until(() => answers[n] !== undefined)
    answers[n]?.()
  }
  await Promise.all(calls)
  t.same(upstream.requests.map(({ url }) => url).sort(), ['/1', '/2', '/3', '/4'])
  t.equal(upstream.connections(), 2)
})

t.test('who waits for a place and gives up leaves room, and is never sent', async t => {
  const upstream = await startUpstream(t)
  const answers: (() => void)[] = []
  upstream.answer = (_request, response) => { answers.push(() => json(response, {})) }
  const { http } = await withHttp(t, { HTTP_ORIGIN_CONCURRENCY: 1, HTTP_TIMEOUT_MS: 60_000 })
  const first = http.request({ url: `${upstream.url}/first` })
  t.equal((await failureOf(http.request({ url: `${upstream.url}/late`, method: 'POST', timeoutMs: 50 }))).code, 'UPSTREAM_TIMEOUT')
  const second = http.request({ url: `${upstream.url}/second` })
  for (let n = 0; n < 2; n++) {
    await until(() => answers[n] !== undefined)
    answers[n]?.()
  }
  await Promise.all([first, second])
  t.same(upstream.requests.map(({ url }) => url), ['/first', '/second'])
})

t.test('a shutdown waits for calls under way and leaves no connection', async t => {
  const upstream = await startUpstream(t)
  const answers: (() => void)[] = []
  upstream.answer = (_request, response) => { answers.push(() => json(response, {})) }
  const app = await withHttp(t)
  const call = app.http.request({ url: upstream.url })
  await until(() => answers.length === 1)
  const closed = app.close()
  answers[0]?.()
  t.equal((await call).status, 200)
  await closed
  await until(() => upstream.open() === 0)
  t.equal((await failureOf(app.http.request({ url: upstream.url }))).code, 'UPSTREAM_UNREACHABLE')
  await (await withHttp(t)).close()
})

t.test('what is under way longer than the grace is named and cut off', async t => {
  const lines: { open?: object }[] = []
  const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => { lines.push(JSON.parse(String(chunk))); done() } })
  const upstream = await startUpstream(t)
  upstream.answer = () => {}
  const app = await withHttp(t, { SHUTDOWN_GRACE_MS: 100, HTTP_TIMEOUT_MS: 60_000 }, { stream })
  const call = failureOf(app.http.request({ url: `${upstream.url}/secret`, method: 'POST' }))
  await until(() => upstream.requests.length === 1)
  await t.rejects(app.close(), /longer than 100 ms/)
  t.same(lines.find(({ open }) => open)?.open, { 'outgoing calls': [`POST ${upstream.url}`] })
  t.equal((await call).code, 'UPSTREAM_UNREACHABLE')
  await until(() => upstream.open() === 0)
})

t.test('of origins that users name, the idle ones used longest ago are forgotten', async t => {
  const { log } = await withHttp(t)
  const origins = new Origins(1, log)
  const [busy, idle, used] = ['busy', 'idle', 'used'].map(name => origins.of(`https://${name}.example`, true))
  await busy?.places.take(new AbortController().signal)
  for (let n = 0; n < 1_500; n++) {
    origins.of(`https://${n}.example`, true)
    origins.of('https://used.example', true)
  }
  t.equal(origins.of('https://busy.example', true), busy)
  t.equal(origins.of('https://used.example', true), used)
  t.not(origins.of('https://idle.example', true), idle)
  t.not(origins.of('https://used.example', false), used, 'ours are others')
})

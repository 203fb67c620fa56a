import { createServer, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { retryAfterMs } from '../../plugins/http/retry.ts'
import { until } from '../helpers/until.ts'
import { deadlineOf, failureOf, json, startUpstream, withHttp, type Upstream } from '../helpers/upstream.ts'

/** Fails the first requests, then answers. */
function failFirst (upstream: Upstream, times: number, status: number | 'reset' | 'cut', headers: Record<string, string> = {}): void {
  const before = upstream.requests.length
  upstream.answer = (request, response, count) => {
    if (count - before > times) return json(response, {})
    if (status === 'reset') return request.socket.resetAndDestroy()
    if (status !== 'cut') return json(response, {}, status, headers)
    response.writeHead(200, { 'content-length': '10' })
    response.write('{', () => request.socket.resetAndDestroy())
  }
}

/** A port that nobody listens on. */
async function closedPort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

t.test('what may be sent twice is tried again after a reset, an answer cut off, 502, 503, 504, and 429 that says when', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  for (const [failure, headers] of [['reset'], ['cut'], [502], [503], [504], [429, { 'retry-after': '1' }]] as const) {
    const before = upstream.requests.length
    failFirst(upstream, 1, failure, headers)
    t.equal((await http.request({ url: upstream.url })).status, 200, String(failure))
    t.equal(upstream.requests.length - before, 2)
  }
  for (const method of ['HEAD', 'OPTIONS', 'PUT', 'DELETE'] as const) {
    failFirst(upstream, 1, 503)
    t.equal((await http.request({ url: upstream.url, method })).status, 200, method)
  }
})

t.test('three attempts at the most, and none after what would fail again', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  for (const [status, attempts] of [[503, 3], [500, 1], [501, 1], [404, 1], [429, 1], [302, 1]] as const) {
    const before = upstream.requests.length
    failFirst(upstream, 9, status)
    t.match(await failureOf(http.request({ url: upstream.url })), { code: 'UPSTREAM_STATUS', status })
    t.equal(upstream.requests.length - before, attempts, String(status))
  }
})

t.test('a POST is never sent twice, whatever becomes of it, nor what says so', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  for (const failure of ['reset', 'cut', 502, 503, 504, 429] as const) {
    for (const call of [{ method: 'POST' }, { method: 'PATCH' }, { method: 'PUT', idempotent: false }] as const) {
      const before = upstream.requests.length
      failFirst(upstream, 1, failure, { 'retry-after': '0' })
      await t.rejects(http.request({ url: upstream.url, json: {}, ...call }))
      t.equal(upstream.requests.length - before, 1, `${failure} ${call.method}`)
      // Else its circuit opens.
      for (let n = 0; n < 3; n++) await http.request({ url: upstream.url })
    }
  }
})

t.test('an idempotent POST is, with the same Idempotency-Key', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  failFirst(upstream, 2, 'reset')
  await http.request({ url: upstream.url, method: 'POST', json: { n: 1 }, idempotent: true })
  const [first, ...rest] = upstream.requests
  t.match(first?.headers['idempotency-key'], /^[0-9a-f-]{36}$/)
  t.equal(rest.length, 2)
  for (const { headers, body } of rest) t.same([headers['idempotency-key'], body], [first?.headers['idempotency-key'], '{"n":1}'])
  await http.request({ url: upstream.url, method: 'POST', idempotent: true, headers: { 'Idempotency-Key': 'mine' } })
  t.equal(upstream.requests.at(-1)?.headers['idempotency-key'], 'mine')
  await http.request({ url: upstream.url, method: 'PUT' })
  t.equal(upstream.requests.at(-1)?.headers['idempotency-key'], undefined)
})

t.test('nobody there, and no such name, is UPSTREAM_UNREACHABLE', async t => {
  const { http } = await withHttp(t)
  for (const url of [`http://127.0.0.1:${await closedPort()}`, 'http://nowhere.invalid']) {
    const error = await failureOf(http.request({ url }))
    t.match(error, { code: 'UPSTREAM_UNREACHABLE', statusCode: 503 })
    t.ok(error.cause)
  }
})

t.test('a Retry-After for which there is no time is not waited for, but told', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  for (const [value, expected] of [['3600', 3_600_000], ['999999999999999999999', 86_400_000], [new Date(Date.now() + 9e9).toUTCString(), 86_400_000]] as const) {
    const before = upstream.requests.length
    failFirst(upstream, 9, 429, { 'retry-after': value })
    t.match(await failureOf(http.request({ url: upstream.url })), { status: 429, statusCode: 503, retryAfterMs: expected })
    t.equal(upstream.requests.length - before, 1)
  }
})

t.test('a Retry-After is seconds or a date, or nothing', async t => {
  t.equal(retryAfterMs('2'), 2_000)
  t.equal(retryAfterMs('9'.repeat(400)), 86_400_000)
  for (const value of ['0', '-1', '', 'soon', 'NaN', '1e3x', new Date(0).toUTCString(), ['1', '2'], undefined]) t.equal(retryAfterMs(value), undefined, String(value))
})

t.test('an upstream that is down gets no more retries than the budget has', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  // 404s keep the circuit closed.
  upstream.answer = (request, response) => json(response, {}, request.url === '/down' ? 503 : 404)
  for (let n = 0; n < 20; n++) {
    for (const path of ['/fine', '/fine', '/fine', '/fine', '/down']) await failureOf(http.request({ url: upstream.url + path }))
  }
  const down = upstream.requests.filter(({ url }) => url === '/down').length
  t.ok(down - 20 <= 10 + 0.2 * 100, `${down - 20} retries`)
  t.ok(down - 20 >= 10, `${down - 20} retries`)
})

/** Makes calls until the circuit of the origin is open. */
async function openCircuit (t: Test, call: () => Promise<unknown>): Promise<number> {
  for (let count = 1; count <= 60; count++) if ((await failureOf(call())).code === 'CIRCUIT_OPEN') return count
  t.fail('the circuit stays closed')
  return 0
}

t.test('the circuit opens after failures, lets one call probe, opens again or closes; another origin\'s stays closed', async t => {
  const [upstream, other] = [await startUpstream(t), await startUpstream(t)]
  const { http } = await withHttp(t)
  const post = () => http.request({ url: upstream.url, method: 'POST' })
  upstream.answer = (_request, response) => json(response, {}, 500)
  t.equal(await openCircuit(t, post), 11, 'after ten')
  t.equal((await http.request({ url: other.url })).status, 200)
  t.equal(upstream.requests.length, 10)

  await until(async () => (await failureOf(post())).code === 'UPSTREAM_STATUS')
  t.equal(upstream.requests.length, 11, 'one probe')
  t.equal((await failureOf(post())).code, 'CIRCUIT_OPEN')

  const probes: (() => void)[] = []
  upstream.answer = (_request, response) => { probes.push(() => json(response, {})) }
  const outcomes: string[] = []
  await until(() => {
    if (probes.length === 0) void post().then(({ status }) => outcomes.push(String(status)), ({ code }) => outcomes.push(code))
    return probes.length === 1
  })
  t.equal((await failureOf(post())).code, 'CIRCUIT_OPEN', 'while it is probed')
  probes[0]?.()
  await until(() => outcomes.includes('200'))
  upstream.answer = (_request, response) => json(response, {})
  t.equal((await post()).status, 200)
})

t.test('time-outs of our own open it; those of a client\'s deadline, refusals and hang-ups don\'t', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  upstream.answer = (request, response) => { if (request.url === '/refuse') json(response, {}, 404) }
  const url = upstream.url
  for (let n = 0; n < 15; n++) {
    await failureOf(http.request({ url, deadline: deadlineOf(20) }))
    await failureOf(http.request({ url: `${url}/refuse` }))
    await t.rejects(http.request({ url, signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' })
  }
  t.equal(upstream.requests.filter(({ url }) => url === '/refuse').length, 15)
  await openCircuit(t, () => http.request({ url, timeoutMs: 10 }))
})

t.test('a probe that its caller gives up does not close the circuit', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  upstream.answer = (_request, response) => json(response, {}, 500)
  await openCircuit(t, () => http.request({ url: upstream.url }))
  const control = new AbortController()
  upstream.answer = () => control.abort()
  await until(async () => {
    await t.rejects(http.request({ url: upstream.url, signal: control.signal }))
    return control.signal.aborted
  })
  t.equal((await failureOf(http.request({ url: upstream.url }))).code, 'CIRCUIT_OPEN')
})

t.test('URLs of users can\'t open the circuit of our own calls', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t, { HTTP_UNTRUSTED_ALLOW: ['127.0.0.1'] })
  upstream.answer = (request, response) => json(response, {}, request.url === '/fails' ? 500 : 200)
  await openCircuit(t, () => http.request({ url: `${upstream.url}/fails`, isUntrusted: true }))
  t.equal((await http.request({ url: upstream.url })).status, 200)
})

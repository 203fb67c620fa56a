import t, { type Test } from 'tap'
import { traceIdOf } from '../../server/trace.ts'
import { buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const traceparent = `00-${traceId}-${spanId}-01`

/** What is not a traceparent: https://www.w3.org/TR/trace-context-2/#traceparent-header */
const malformed = {
  'all-zero trace id': `00-${'0'.repeat(32)}-${spanId}-01`,
  'all-zero parent id': `00-${traceId}-${'0'.repeat(16)}-01`,
  'version ff': `ff-${traceId}-${spanId}-01`,
  'upper case': `00-${traceId.toUpperCase()}-${spanId}-01`,
  'version in upper case': `0A-${traceId}-${spanId}-01`,
  'no hexadecimal': `00-${traceId.replace('4', 'g')}-${spanId}-01`,
  'short trace id': `00-${traceId.slice(1)}-${spanId}-01`,
  'long trace id': `00-${traceId}0-${spanId}-01`,
  'no flags': `00-${traceId}-${spanId}`,
  'short flags': `00-${traceId}-${spanId}-1`,
  'version 00 with more': `${traceparent}-more`,
  'a later version with more, not set apart': `01-${traceId}-${spanId}-01more`,
  'too long': `01-${traceId}-${spanId}-01-${'x'.repeat(300)}`,
  'two at once': `${traceparent}, ${traceparent}`,
  'two of a later version': `01-${traceId}-${spanId}-01-a, ${traceparent}`,
  empty: ''
}

/** The service and what it logs from now on. */
async function logged (t: Test) {
  const { app: service, lines } = await buildLogged(t)
  lines.length = 0
  return { service, lines }
}

t.test('a well-formed traceparent names its trace, also of a later version', async (t) => {
  for (const text of [traceparent, `00-${traceId}-${spanId}-00`, `cc-${traceId}-${spanId}-01`, `01-${traceId}-${spanId}-01-what-comes-later`]) t.equal(traceIdOf(text), traceId, text)
})

t.test('a malformed one is as if it were not there', async (t) => {
  for (const [name, text] of Object.entries(malformed)) t.equal(traceIdOf(text), undefined, name)
  for (const other of [undefined, null, 7, [traceparent]]) t.equal(traceIdOf(other), undefined)
})

t.test('the trace of the caller is in every line of its request, and in no other\'s', async (t) => {
  const { service, lines } = await logged(t)
  await service.inject({ url: '/products', headers: { traceparent } })
  await service.inject({ url: '/nowhere', headers: { traceparent } })
  await service.inject({ url: '/products/', headers: { traceparent } })
  await service.inject('/products')
  await service.inject({ url: '/products', headers: { traceparent: malformed['all-zero trace id'] } })
  t.same(lines.map(line => line.traceId), [traceId, traceId, traceId, undefined, undefined])
})

t.test('a problem says which trace it belongs to, whoever answers', async (t) => {
  const app = await buildApp(t)
  const ask = async (url: string, given: string) => (await app.inject({ url, headers: { traceparent: given } })).json() as { traceId?: string, requestId: string }
  for (const url of ['/nowhere', '/users/me', '/products?limit=none', '/%zz']) {
    t.equal((await ask(url, traceparent)).traceId, traceId, url)
    t.notOk('traceId' in await ask(url, malformed['upper case']), url)
  }
})

import t from 'tap'
import { exchangeRate } from '../../services/exchange-rate.ts'
import { failureOf, json, startUpstream, withHttp } from '../helpers/upstream.ts'

t.test('a rate is what the service says', async t => {
  const upstream = await startUpstream(t)
  upstream.answer = (_request, response) => json(response, { base: 'EUR', quote: 'USD', rate: 1.25, source: 'a bank' })
  const { http } = await withHttp(t)
  t.equal(await exchangeRate(http, `${upstream.url}/v1/`, 'EUR', 'USD'), 1.25)
  t.equal(upstream.requests[0]?.url, '/v1/rates/EUR/USD')
})

t.test('a pair that it does not know is NOT_FOUND; what is no currency is not asked for', async t => {
  const upstream = await startUpstream(t)
  upstream.answer = (_request, response) => json(response, { code: 'NO_SUCH_PAIR' }, 404)
  const { http } = await withHttp(t)
  await t.rejects(exchangeRate(http, `${upstream.url}/`, 'EUR', 'XXX'), { name: 'DomainError', code: 'NOT_FOUND' })
  for (const currency of ['..', '../admin', 'eur', 'EURO', '', 'E R', '%2e']) await t.rejects(exchangeRate(http, `${upstream.url}/`, currency, 'USD'), { code: 'NOT_FOUND' }, currency)
  t.equal(upstream.requests.length, 1)
})

t.test('another answer than a rate of this pair is an error', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  for (const body of [{}, { base: 'EUR', quote: 'USD', rate: '1.25' }, { base: 'EUR', quote: 'USD', rate: 0 }, { base: 'EUR', quote: 'USD', rate: -1 }]) {
    upstream.answer = (_request, response) => json(response, body)
    t.equal((await failureOf(exchangeRate(http, `${upstream.url}/`, 'EUR', 'USD'))).code, 'UPSTREAM_INVALID')
  }
  upstream.answer = (_request, response) => json(response, { base: 'USD', quote: 'EUR', rate: 0.8 })
  await t.rejects(exchangeRate(http, `${upstream.url}/`, 'EUR', 'USD'), /another pair/)
})

t.test('a service that fails for a moment is asked again; one that stays away is the client\'s error', async t => {
  const upstream = await startUpstream(t)
  const { http } = await withHttp(t)
  upstream.answer = (_request, response, count) => count === 1 ? json(response, {}, 503) : json(response, { base: 'EUR', quote: 'USD', rate: 1.25 })
  t.equal(await exchangeRate(http, `${upstream.url}/`, 'EUR', 'USD'), 1.25)
  upstream.answer = (_request, response) => json(response, {}, 503)
  t.match(await failureOf(exchangeRate(http, `${upstream.url}/`, 'EUR', 'USD')), { code: 'UPSTREAM_STATUS', statusCode: 503 })
})

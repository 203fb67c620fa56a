import t from 'tap'
import { buildApp } from '../helpers/app.ts'

t.test('requests beyond the limit are 429 problems that say when to come back', async (t) => {
  const app = await buildApp(t, { RATE_LIMIT_MAX: 2 })
  await app.inject('/products')
  const last = await app.inject('/products')
  t.match(last.headers.ratelimit, /^"client";r=0;t=\d+$/)
  t.equal(last.headers['ratelimit-policy'], '"client";q=2;w=60')
  const response = await app.inject('/products')
  t.equal(response.statusCode, 429)
  t.equal(response.json().code, 'RATE_LIMITED')
  t.ok(Number(response.headers['retry-after']) > 0)
})

t.test('paths that do not exist count as well', async (t) => {
  const app = await buildApp(t, { RATE_LIMIT_MAX: 1 })
  await app.inject('/nowhere')
  t.equal((await app.inject('/elsewhere')).statusCode, 429)
})

t.test('each client address has its own count, and a forwarded one counts only from a trusted proxy', async (t) => {
  const app = await buildApp(t, { RATE_LIMIT_MAX: 1 })
  const from = (remoteAddress: string, forwarded?: string) => app.inject({ url: '/products', remoteAddress, headers: forwarded ? { 'x-forwarded-for': forwarded } : {} })
  t.equal((await from('10.0.0.1')).statusCode, 200)
  t.equal((await from('10.0.0.2')).statusCode, 200)
  t.equal((await from('10.0.0.1', '203.0.113.9')).statusCode, 429, 'the header is not believed')
  const proxied = await buildApp(t, { RATE_LIMIT_MAX: 1, TRUST_PROXY: ['10.0.0.0/8'] })
  const through = (forwarded: string) => proxied.inject({ url: '/products', remoteAddress: '10.0.0.1', headers: { 'x-forwarded-for': forwarded } })
  t.equal((await through('203.0.113.1')).statusCode, 200)
  t.equal((await through('203.0.113.2')).statusCode, 200)
  t.equal((await through('203.0.113.2')).statusCode, 429)
})

t.test('health is never limited', async (t) => {
  const app = await buildApp(t, { RATE_LIMIT_MAX: 1 })
  for (let i = 0; i < 5; i++) t.equal((await app.inject('/health/live')).statusCode, 200)
})

t.test('a route may have a tighter count of its own', async (t) => {
  const app = await buildApp(t, {}, app => {
    for (const url of ['/rare', '/seldom']) app.get(url, { config: { public: true, rateLimit: { max: 2 } }, schema: { hide: true } }, async () => ({}))
  })
  const ask = async (url: string) => (await app.inject(url)).statusCode
  t.same([await ask('/rare'), await ask('/rare'), await ask('/rare')], [200, 200, 429])
  t.equal(await ask('/seldom'), 200, 'and another its own')
  t.equal(await ask('/products'), 200, 'the rest goes on')
})

import t from 'tap'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const EXPECTED = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin'
}

t.test('every response has the security headers, errors included', async (t) => {
  const app = await buildApp(t)
  for (const url of ['/products', '/nowhere', '/users/me', '/health/live', '/products/%E0%A4%A', '/openapi.json', '/products?limit=x']) {
    t.match((await app.inject(url)).headers, EXPECTED, url)
  }
})

t.test('HTTPS is insisted on in production only', async (t) => {
  const development = await buildApp(t, { NODE_ENV: 'development' })
  t.notOk((await development.inject('/products')).headers['strict-transport-security'])
  const production = await buildApp(t, { NODE_ENV: 'production' })
  t.match((await production.inject('/products')).headers['strict-transport-security'], /max-age=63072000/)
})

const corsHeaders = (headers: object) => Object.keys(headers).filter(name => name.startsWith('access-control-'))
const origins = { ALLOWED_ORIGINS: ['https://app.example'] }
const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' }

t.test('without ALLOWED_ORIGINS no origin gets CORS headers', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject({ url: '/products', headers: { origin: 'https://app.example' } })
  t.same(corsHeaders(response.headers), [])
  t.same(corsHeaders((await app.inject({ method: 'OPTIONS', url: '/products', headers: preflight })).headers), [])
})

t.test('a listed origin gets its own name back, with credentials', async (t) => {
  const app = await buildApp(t, origins)
  const { headers } = await app.inject({ url: '/products', headers: { origin: 'https://app.example' } })
  t.equal(headers['access-control-allow-origin'], 'https://app.example')
  t.equal(headers['access-control-allow-credentials'], 'true')
  t.match(headers.vary, /Origin/i)
  t.match(headers['access-control-expose-headers'], /ETag/)
})

t.test('errors carry the CORS headers too, or the page could not read them', async (t) => {
  const app = await buildApp(t, origins)
  for (const url of ['/users/me', '/nowhere', '/products/%E0%A4%A', `/products/${'x'.repeat(300)}`]) {
    const { headers } = await app.inject({ url, headers: { origin: 'https://app.example' } })
    t.equal(headers['access-control-allow-origin'], 'https://app.example', url)
  }
})

t.test('other origins get no CORS header at all', async (t) => {
  const app = await buildApp(t, origins)
  t.same(corsHeaders((await app.inject({ url: '/products/%E0%A4%A', headers: { origin: 'https://evil.example' } })).headers), [])
  for (const origin of ['https://evil.example', 'https://app.example.evil.com', 'http://app.example', 'https://APP.example', 'null']) {
    const response = await app.inject({ url: '/products', headers: { origin } })
    t.same(corsHeaders(response.headers), [], origin)
    const asked = await app.inject({ method: 'OPTIONS', url: '/products', headers: { ...preflight, origin } })
    t.same(corsHeaders(asked.headers), [], `preflight from ${origin}`)
  }
})

t.test('a preflight is answered before the guard and may be cached', async (t) => {
  const app = await buildApp(t, origins)
  const response = await app.inject({ method: 'OPTIONS', url: '/users/me', headers: preflight })
  t.equal(response.statusCode, 204)
  t.equal(response.headers['access-control-allow-origin'], 'https://app.example')
  t.match(response.headers['access-control-allow-methods'], /PATCH/)
  t.equal(response.headers['access-control-allow-headers'], 'authorization,content-type')
  t.equal(response.headers['access-control-max-age'], '7200')
})

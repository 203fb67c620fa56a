import t from 'tap'
import { buildApp } from '../helpers/app.ts'

t.test('an unknown path is a 404 problem, whatever the method', async (t) => {
  const app = await buildApp(t)
  for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS'] as const) {
    const response = await app.inject({ method, url: '/nowhere?x=1' })
    t.equal(response.statusCode, 404, method)
    t.equal(response.json().code, 'NOT_FOUND')
  }
})

t.test('a known path with another method is a 405 with Allow', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject({ method: 'PUT', url: '/products' })
  t.equal(response.statusCode, 405)
  t.equal(response.headers.allow, 'GET, HEAD, OPTIONS, POST')
  t.equal(response.json().code, 'METHOD_NOT_ALLOWED')
})

t.test('QUERY is a method like any other, with and without a body', async (t) => {
  const app = await buildApp(t)
  for (const options of [{}, { payload: 'x', headers: { 'content-type': 'text/plain' } }]) {
    t.equal((await app.inject({ method: 'QUERY' as 'GET', url: '/products', ...options })).statusCode, 405)
    t.equal((await app.inject({ method: 'QUERY' as 'GET', url: '/nowhere', ...options })).statusCode, 404)
  }
})

t.test('a path with parameters is known too', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject({ method: 'POST', url: '/products/0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11' })
  t.equal(response.statusCode, 405)
  t.equal(response.headers.allow, 'DELETE, GET, HEAD, OPTIONS, PATCH')
})

t.test('OPTIONS on a known path answers 204 with Allow', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject({ method: 'OPTIONS', url: '/products' })
  t.equal(response.statusCode, 204)
  t.equal(response.headers.allow, 'GET, HEAD, OPTIONS, POST')
})

t.test('HEAD answers as GET does, without a body', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject({ method: 'HEAD', url: '/products' })
  t.equal(response.statusCode, 200)
  t.equal(response.body, '')
  t.match(response.headers['content-type'], /application\/json/)
})

t.test('paths are matched exactly: no trailing slash, no other case, no encoded detour', async (t) => {
  const app = await buildApp(t)
  for (const url of ['/products/', '/Products', '//products', '/users/me/']) {
    t.equal((await app.inject(url)).statusCode, 404, url)
  }
  t.equal((await app.inject('/%75sers/me')).statusCode, 401, 'an encoded spelling meets the same guard')
})

t.test('a parameter of a path is never empty: 404, whatever the method and whoever asks', async (t) => {
  const app = await buildApp(t, {}, app => {
    for (const url of ['/things/:id', '/things/:id/turn']) app.route({ method: ['GET', 'POST'], url, config: { scopes: [] }, schema: { hide: true }, handler: async () => ({}) })
  })
  t.equal((await app.inject({ method: 'POST', url: '/things/1/turn' })).statusCode, 401, 'with one the guard is asked')
  const requests = [['GET', '/products/'], ['HEAD', '/products/'], ['PATCH', '/products/'], ['DELETE', '/products/?x=1'], ['PUT', '/products/'], ['OPTIONS', '/products/'], ['GET', '/things/'], ['POST', '/things//turn'], ['GET', '/problems/']] as const
  for (const [method, url] of requests) {
    const response = await app.inject({ method, url })
    t.equal(response.statusCode, 404, `${method} ${url}`)
    t.equal(response.headers.allow, undefined)
    if (method !== 'HEAD') t.equal(response.json().code, 'NOT_FOUND')
  }
  t.equal((await app.inject('/docs/static/')).statusCode, 200, 'the rest of a path may be nothing')
})

t.test('a malformed URL is a 400 problem', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject('/products/%E0%A4%A')
  t.equal(response.statusCode, 400)
  t.equal(response.headers['content-type'], 'application/problem+json')
  t.equal(response.json().code, 'BAD_REQUEST')
})

import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { bearer, buildApp } from '../helpers/app.ts'
import { foreignUser, issuerKey, startIssuer, type Issuer } from '../helpers/issuer.ts'

const key = issuerKey('one')

async function appOf (t: Test, { url }: Issuer, scope = 'users:read'): Promise<FastifyInstance> {
  return await buildApp(t, { JWT_JWKS_URL: url, JWT_PRIVATE_KEY: undefined, JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'api', METRICS_TOKEN: 'a-token-for-metrics' }, app => {
    app.get('/things', { config: { scopes: [scope] }, schema: { hide: true } }, async request => ({ id: request.user.id }))
  })
}
const things = (app: FastifyInstance, token: string) => app.inject({ url: '/things', headers: bearer(token) })

for (const algorithm of ['EdDSA', 'ES256', 'RS256', 'PS256'] as const) {
  t.test(`another issuer's ${algorithm} token is taken`, async (t) => {
    const key = issuerKey('a', algorithm)
    const app = await appOf(t, await startIssuer(t, key))
    const response = await things(app, key.sign())
    t.equal(response.statusCode, 200)
    t.equal(response.json().id, foreignUser)
  })
}

t.test('the scopes are those of the roles all the same', async (t) => {
  await t.rejects(appOf(t, await startIssuer(t, key), 'users:raed'), /no role has the scope users:raed \(GET \/things\)/)
})

t.test('the issuer is asked once, however many come', async (t) => {
  const issuer = await startIssuer(t, key)
  const app = await appOf(t, issuer)
  const responses = await Promise.all(Array.from({ length: 20 }, (_, i) => things(app, key.sign({ jti: `${i}` }))))
  t.ok(responses.every(({ statusCode }) => statusCode === 200))
  t.equal(issuer.requests, 1)
})

t.test('invented key ids are 401 and don\'t make the issuer busy', async (t) => {
  const issuer = await startIssuer(t, key)
  const app = await appOf(t, issuer)
  t.equal((await things(app, key.sign())).statusCode, 200)
  for (const kid of ['two', '../../etc/passwd', "' OR 1=1 --", '__proto__', 'x'.repeat(300)]) {
    const response = await things(app, issuerKey(kid).sign())
    t.equal(response.statusCode, 401, kid)
    t.equal(response.headers['www-authenticate'], 'Bearer error="invalid_token"')
  }
  t.equal(issuer.requests, 1)
})

t.test('what the issuer\'s tokens must be is what ours must be', async (t) => {
  const app = await appOf(t, await startIssuer(t, key))
  for (const [name, token] of Object.entries({
    'another issuer': key.sign({ iss: 'https://evil.example' }),
    'another audience': key.sign({ aud: 'other' }),
    'another type': key.sign({}, { typ: 'JWT' }),
    'no user id of ours': key.sign({ sub: 'auth0|123' }),
    'no scope': key.sign({ scope: undefined }),
    'a stranger\'s key under the known id': issuerKey('one').sign(),
    'an algorithm that is not the key\'s': issuerKey('one', 'ES256').sign()
  })) t.equal((await things(app, token)).statusCode, 401, name)
})

t.test('as long as there never were keys: 503, and not ready', async (t) => {
  const issuer = await startIssuer(t, key)
  issuer.answer = response => response.writeHead(500).end()
  const app = await appOf(t, issuer)
  const response = await things(app, key.sign())
  t.equal(response.statusCode, 503)
  t.match(response.json(), { code: 'UNAVAILABLE', detail: /keys of the token issuer/ })
  t.ok(Number(response.headers['retry-after']) >= 1)
  t.equal(response.headers['www-authenticate'], undefined, 'nothing is wrong with the token')
  t.equal(issuer.requests, 1, 'and the next request does not ask again')
  t.equal((await app.inject('/health/ready')).statusCode, 503)
  t.equal((await app.inject('/products')).statusCode, 200, 'what is public goes on')
})

t.test('ready again once the keys are there', async (t) => {
  const issuer = await startIssuer(t, key)
  const app = await appOf(t, issuer)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  await issuer.close()
  t.equal((await things(app, key.sign())).statusCode, 200, 'the issuer may go')
  t.equal((await app.inject('/health/ready')).statusCode, 200)
})

t.test('who signs in elsewhere does not sign in here', async (t) => {
  const app = await appOf(t, await startIssuer(t, key))
  const credentials = { email: 'ada@example.com', password: 'correct horse battery' }
  for (const [path, payload] of Object.entries({ register: { ...credentials, name: 'Ada' }, login: credentials, refresh: { refreshToken: 'x' }, logout: { refreshToken: 'x' } })) {
    t.equal((await app.inject({ method: 'POST', url: `/auth/${path}`, payload })).statusCode, 404, path)
  }
  t.equal((await app.inject('/.well-known/jwks.json')).statusCode, 404)
  t.equal((await app.inject({ url: '/users/me/sessions', headers: bearer(key.sign()) })).statusCode, 404)
  t.equal((await app.inject({ method: 'PUT', url: '/users/me/password', headers: bearer(key.sign()), payload: { currentPassword: 'x', newPassword: 'correct horse battery' } })).statusCode, 404)
  t.equal((await app.inject({ url: '/users/me', headers: bearer(key.sign()) })).json().code, 'NOT_FOUND', 'and an account is there only if one was made')
})

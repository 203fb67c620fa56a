// Accounts of people whom another issuer signs in.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { bearer, buildApp } from '../helpers/app.ts'
import { issuerKey, startIssuer } from '../helpers/issuer.ts'

const key = issuerKey('one')
const { url } = await startIssuer(t, key)
const settings = { JWT_JWKS_URL: url, JWT_PRIVATE_KEY: undefined, JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'api' }
const app = await buildApp(t, settings)
const ada = { email: 'Ada@Example.com', name: 'Ada Lovelace' }
const someone = () => ({ ...ada, email: `${randomUUID()}@example.com` })
const as = (sub: string) => bearer(key.sign({ sub }))
const put = (sub: string, payload: object) => app.inject({ method: 'PUT', url: '/users/me', headers: as(sub), payload })
const me = async (sub: string) => (await app.inject({ url: '/users/me', headers: as(sub) })).json()

t.test('the account of a token is made, with the id that the token names', async t => {
  const sub = randomUUID()
  t.equal((await me(sub)).code, 'NOT_FOUND')
  const response = await put(sub, ada)
  t.equal(response.statusCode, 201)
  t.equal(response.headers.location, '/users/me')
  t.match(response.json(), { id: sub, email: 'ada@example.com', name: 'Ada Lovelace', role: 'user', createdAt: /Z$/ })
  t.same(await me(sub), response.json())
})

t.test('and changed: sent again it is the same', async t => {
  const sub = randomUUID()
  const first = someone()
  const made = (await put(sub, first)).json()
  const again = await put(sub, first)
  t.equal(again.statusCode, 200)
  t.equal(again.headers.location, undefined)
  t.same(again.json(), made)
  const moved = someone()
  t.match((await put(sub, { ...moved, name: 'Ada King' })).json(), { id: sub, email: moved.email, name: 'Ada King', createdAt: made.createdAt })
})

t.test('an e-mail address has one account, whatever its case', async t => {
  const [owner, other] = [randomUUID(), randomUUID()]
  const { email } = someone()
  await put(owner, { ...ada, email })
  const taken = { status: 409, code: 'EMAIL_TAKEN', errors: [{ pointer: '#/body/email' }] }
  t.match((await put(other, { ...ada, email: email.toUpperCase() })).json(), taken, 'for a new account')
  t.equal((await me(other)).code, 'NOT_FOUND')
  await put(other, someone())
  const before = await me(other)
  t.match((await put(other, { ...ada, email })).json(), taken, 'for one that there is')
  t.same(await me(other), before)
})

t.test('of many requests at once of the same person, one makes it and none fails', async t => {
  const sub = randomUUID()
  const details = someone()
  const responses = await Promise.all(Array.from({ length: 8 }, () => put(sub, details)))
  t.same(responses.map(({ statusCode }) => statusCode).sort(), [...Array<number>(7).fill(200), 201])
})

t.test('of many persons at once, one gets the address', async t => {
  const details = someone()
  const responses = await Promise.all(Array.from({ length: 8 }, () => put(randomUUID(), details)))
  t.same(responses.map(({ statusCode }) => statusCode).sort(), [201, ...Array<number>(7).fill(409)])
})

t.test('it is for whoever the token names, and says no more than that', async t => {
  t.equal((await app.inject({ method: 'PUT', url: '/users/me', payload: ada })).statusCode, 401)
  for (const payload of [{}, { email: ada.email }, { ...someone(), role: 'admin' }, { ...someone(), id: randomUUID() }, { ...someone(), name: ' ' }, { ...ada, email: 'ada' }]) {
    t.equal((await put(randomUUID(), payload)).statusCode, 400, JSON.stringify(payload))
  }
})

t.test('each address may ask only so often: it tells which addresses have an account', async t => {
  const limited = await buildApp(t, { ...settings, AUTH_RATE_LIMIT_MAX: 2 })
  const ask = async () => (await limited.inject({ method: 'PUT', url: '/users/me', headers: as(randomUUID()), payload: someone() })).statusCode
  t.same([await ask(), await ask(), await ask()], [201, 201, 429])
})

t.test('the document of the service has it', async t => {
  t.match((await app.inject('/openapi.json')).json().paths['/users/me'].put, { operationId: 'putOwnUser', responses: { 200: {}, 201: {}, 409: {} } })
})

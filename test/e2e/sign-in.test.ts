// Signing in as clients do, with services as they are started.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { call, copyOfCheckout, startService } from '../helpers/process.ts'
import { developmentAdmin, logIn } from '../helpers/sign-in.ts'
import { plainDatabase } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
const folder = copyOfCheckout(t)
const newCredentials = () => ({ email: `${randomUUID()}@example.com`, password: 'correct horse battery' })

t.test('after npm start the admin of the seed signs in, and people register, sign in and out, also after a restart', async t => {
  const first = await startService(t, folder)
  const admin = await logIn(first.url, developmentAdmin)
  t.equal((await call(`${first.url}/users`, { token: admin.accessToken })).status, 200)
  const ada = newCredentials()
  t.equal((await call(`${first.url}/auth/register`, { body: { ...ada, name: 'Ada' } })).status, 201)
  const session = await logIn(first.url, ada)
  t.equal((await call(`${first.url}/users/me`, { token: session.accessToken })).body.email, ada.email)
  await first.stop('SIGKILL')

  const second = await startService(t, folder)
  t.equal((await call(`${second.url}/users/me`, { token: session.accessToken })).status, 200, 'the key is the same')
  const next = await call(`${second.url}/auth/refresh`, { body: { refreshToken: session.refreshToken } })
  t.equal(next.status, 200, 'the session goes on')
  t.ok(await logIn(second.url, ada))
  t.equal((await call(`${second.url}/auth/logout`, { body: { refreshToken: next.body.refreshToken } })).status, 204)
  t.equal((await call(`${second.url}/auth/refresh`, { body: { refreshToken: next.body.refreshToken } })).status, 401)
  await second.stop()
})

t.test('it makes no difference which of two processes answers', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async t => {
  const env = { DATABASE_URL: await plainDatabase(t, server), LOGIN_FAILURES_MAX: '4' }
  const [a, b] = [await startService(t, folder, env), await startService(t, folder, env)]
  const credentials = newCredentials()
  await call(`${a.url}/auth/register`, { body: { ...credentials, name: 'Ada' } })
  const { refreshToken } = await logIn(a.url, credentials)
  const second = await call(`${b.url}/auth/refresh`, { body: { refreshToken } })
  t.equal(second.status, 200, 'a session goes on anywhere')
  t.equal((await call(`${a.url}/auth/logout`, { body: { refreshToken: second.body.refreshToken } })).status, 204)
  t.equal((await call(`${b.url}/auth/refresh`, { body: { refreshToken: second.body.refreshToken } })).status, 401, 'and ends everywhere')

  const victim = newCredentials()
  await call(`${b.url}/auth/register`, { body: { ...victim, name: 'Eve' } })
  const statuses: number[] = []
  for (let n = 0; n < 6; n++) statuses.push((await call(`${(n % 2 ? a : b).url}/auth/login`, { body: { ...victim, password: 'not the password' } })).status)
  t.same(statuses, [401, 401, 401, 401, 429, 429], 'wrong passwords are counted together')

  const keys = await Promise.all([a, b].map(async ({ url }) => (await call(`${url}/.well-known/jwks.json`)).body))
  t.same(keys[0], keys[1])
})

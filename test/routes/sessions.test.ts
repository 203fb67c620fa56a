import { randomUUID } from 'node:crypto'
import t from 'tap'
import { bearer, buildApp } from '../helpers/app.ts'
import { withPassword } from '../helpers/passwords.ts'

const app = await buildApp(t)
const post = (path: string, payload: object) => app.inject({ method: 'POST', url: `/auth/${path}`, payload })
const list = (token: string, query = '') => app.inject({ url: `/users/me/sessions${query}`, headers: bearer(token) })
const end = (token: string, id: string) => app.inject({ method: 'DELETE', url: `/users/me/sessions/${id}`, headers: bearer(token) })
const changePassword = (token: string, currentPassword: string, newPassword: string) =>
  app.inject({ method: 'PUT', url: '/users/me/password', headers: bearer(token), payload: { currentPassword, newPassword } })

t.test('one sees where one is signed in, newest first, and which one this is', async (t) => {
  const { email, password, token } = await withPassword(app)
  await post('login', { email, password })
  const response = await list(token)
  t.equal(response.statusCode, 200)
  const { items, nextCursor } = response.json()
  t.equal(items.length, 2)
  t.equal(nextCursor, null)
  t.same(items.map(({ current }: { current: boolean }) => current), [false, true])
  t.ok(items[0].createdAt >= items[1].createdAt)
  t.same(Object.keys(items[0]), ['id', 'createdAt', 'lastUsedAt', 'expiresAt', 'current'])
})

t.test('a session is the same before and after it was refreshed', async (t) => {
  const { token, refreshToken } = await withPassword(app)
  const [before] = (await list(token)).json().items
  const next = (await post('refresh', { refreshToken })).json()
  const { items: [after, ...others] } = (await list(next.accessToken)).json()
  t.same(others, [])
  t.match(after, { id: before.id, createdAt: before.createdAt, current: true })
  t.ok(after.lastUsedAt >= before.lastUsedAt && after.expiresAt >= before.expiresAt)
})

t.test('long lists come in pages', async (t) => {
  const { email, password, token } = await withPassword(app)
  await post('login', { email, password })
  const first = await list(token, '?limit=1')
  t.match(first.headers.link, /rel="next"/)
  const second = await list(token, `?limit=1&cursor=${first.json().nextCursor}`)
  t.not(second.json().items[0].id, first.json().items[0].id)
  t.equal(second.json().nextCursor, null)
  t.equal((await list(token, '?cursor=abc')).json().code, 'INVALID_CURSOR')
})

t.test('sessions that have ended are not listed', async (t) => {
  const { id, token, refreshToken, email, password } = await withPassword(app)
  await post('logout', { refreshToken })
  t.same((await list(token)).json().items, [])
  await post('login', { email, password })
  await app.prisma.refreshToken.updateMany({ where: { userId: id }, data: { createdAt: new Date(0), expiresAt: new Date(1) } })
  t.same((await list(token)).json().items, [])
})

t.test('one ends one of them, and the others go on', async (t) => {
  const { email, password, token, refreshToken } = await withPassword(app)
  const other = (await post('login', { email, password })).json()
  const session = (await list(token)).json().items.find(({ current }: { current: boolean }) => !current)
  t.equal((await end(token, session.id)).statusCode, 204)
  t.equal((await post('refresh', { refreshToken: other.refreshToken })).statusCode, 401)
  t.equal((await post('refresh', { refreshToken })).statusCode, 200)
  t.equal((await end(token, session.id)).statusCode, 404, 'it is gone')
})

t.test('another\'s session is not found, as is one that never was', async (t) => {
  const [ada, eve] = [await withPassword(app), await withPassword(app)]
  const [session] = (await list(ada.token)).json().items
  t.equal((await end(eve.token, session.id)).statusCode, 404)
  t.equal((await end(eve.token, randomUUID())).statusCode, 404)
  t.equal((await end(eve.token, 'x')).statusCode, 400)
  t.equal((await post('refresh', { refreshToken: ada.refreshToken })).statusCode, 200)
})

t.test('without a token there are no sessions', async (t) => {
  t.equal((await app.inject('/users/me/sessions')).statusCode, 401)
  t.equal((await app.inject({ method: 'DELETE', url: `/users/me/sessions/${randomUUID()}` })).statusCode, 401)
  t.equal((await app.inject({ method: 'PUT', url: '/users/me/password', payload: {} })).statusCode, 401)
})

t.test('a new password ends every session, and the old one is good for nothing', async (t) => {
  const { email, password, token, refreshToken } = await withPassword(app)
  const other = (await post('login', { email, password })).json()
  const response = await changePassword(token, password, 'another horse battery')
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  for (const spent of [refreshToken, other.refreshToken]) t.equal((await post('refresh', { refreshToken: spent })).statusCode, 401)
  t.equal((await post('login', { email, password })).statusCode, 401)
  t.equal((await post('login', { email, password: 'another horse battery' })).statusCode, 200)
})

t.test('a wrong current password changes nothing', async (t) => {
  const { email, password, token, refreshToken } = await withPassword(app)
  const response = await changePassword(token, 'not my password', 'another horse battery')
  t.equal(response.statusCode, 403)
  t.match(response.json(), { code: 'WRONG_PASSWORD', errors: [{ pointer: '#/body/currentPassword' }] })
  t.equal((await post('refresh', { refreshToken })).statusCode, 200)
  t.equal((await post('login', { email, password })).statusCode, 200)
})

t.test('a new password has to be a good one', async (t) => {
  const { token, password } = await withPassword(app)
  for (const next of ['elevenchars', 'a'.repeat(129)]) t.equal((await changePassword(token, password, next)).statusCode, 400)
})

t.test('the account may be gone', async (t) => {
  const { id, token, password } = await withPassword(app)
  await app.prisma.user.delete({ where: { id } })
  t.equal((await changePassword(token, password, 'another horse battery')).statusCode, 404)
})

t.test('of two changes at once one wins, and no session with the old password survives', async (t) => {
  const { email, password, token } = await withPassword(app)
  const [one, two, ...logins] = await Promise.all([
    changePassword(token, password, 'the first new password'),
    changePassword(token, password, 'the second new password'),
    ...Array.from({ length: 4 }, () => post('login', { email, password }))
  ])
  t.same([one.statusCode, two.statusCode].sort(), [204, 403])
  const alive = await Promise.all(logins.filter(({ statusCode }) => statusCode === 200).map(login => post('refresh', { refreshToken: login.json().refreshToken })))
  t.ok(alive.every(({ statusCode }) => statusCode === 401))
})

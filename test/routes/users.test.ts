import t from 'tap'
import { asAdmin, bearer, buildApp, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const admin = await asAdmin(app)
const patchMe = (token: string, payload: object | string, type = 'application/merge-patch+json') =>
  app.inject({ method: 'PATCH', url: '/users/me', headers: { ...bearer(token), 'content-type': type }, payload })
const list = (query: string) => app.inject({ url: `/users?${query}`, headers: bearer(admin.token) })

t.test('one reads one\'s own account', async (t) => {
  const { id, email, token } = await registered(app)
  const response = await app.inject({ url: '/users/me', headers: bearer(token) })
  t.equal(response.statusCode, 200)
  t.match(response.json(), { id, email, role: 'user' })
  t.same(Object.keys(response.json()), ['id', 'email', 'name', 'role', 'createdAt'])
})

t.test('without a token there is no account', async (t) => {
  t.equal((await app.inject('/users/me')).statusCode, 401)
  t.equal((await app.inject({ method: 'PATCH', url: '/users/me', payload: {} })).statusCode, 401)
})

t.test('the account of a token may be gone', async (t) => {
  const { id, token } = await registered(app)
  await app.prisma.user.delete({ where: { id } })
  t.equal((await app.inject({ url: '/users/me', headers: bearer(token) })).statusCode, 404)
  t.equal((await patchMe(token, { name: 'Nobody' })).statusCode, 404)
})

t.test('one changes one\'s own name', async (t) => {
  const { token } = await registered(app)
  for (const type of ['application/merge-patch+json', 'application/json']) {
    const response = await patchMe(token, { name: `Renamed by ${type}` }, type)
    t.equal(response.statusCode, 200)
    t.equal(response.json().name, `Renamed by ${type}`)
  }
})

t.test('an empty patch changes nothing', async (t) => {
  const { token } = await registered(app)
  t.match((await patchMe(token, {})).json(), { name: 'Test' })
})

t.test('nothing else can be changed', async (t) => {
  const { token } = await registered(app)
  for (const patch of [{ role: 'admin' }, { email: 'other@example.com' }, { id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11' }, { name: null }, { name: 1 }, { name: '' }]) {
    t.equal((await patchMe(token, patch)).statusCode, 400, JSON.stringify(patch))
  }
})

t.test('a patch is JSON', async (t) => {
  const { token } = await registered(app)
  t.equal((await patchMe(token, 'name=x', 'application/x-www-form-urlencoded')).statusCode, 415)
})

t.test('only admins list the accounts', async (t) => {
  const { token } = await registered(app)
  t.equal((await app.inject('/users')).statusCode, 401)
  t.equal((await app.inject({ url: '/users', headers: bearer(token) })).statusCode, 403)
  t.equal((await list('')).statusCode, 200)
})

t.test('an account is found by its e-mail address, whatever the case', async (t) => {
  const { id, email } = await registered(app)
  const { items, nextCursor } = (await list(`email=${email.toUpperCase()}`)).json()
  t.same(items.map((user: { id: string }) => user.id), [id])
  t.equal(nextCursor, null)
  t.same((await list('email=nobody@example.com')).json().items, [])
})

t.test('no password is ever listed', async (t) => {
  t.notMatch((await list('limit=100')).body, /password|argon2/i)
})

t.test('the list can be sorted by each key, up and down, and walked', async (t) => {
  for (let count = 0; count < 5; count++) await patchMe((await registered(app)).token, { name: `Name ${count % 2}` })
  for (const key of ['createdAt', 'email', 'name']) {
    const up = await walk(`sort=${key}&limit=2`)
    const down = await walk(`sort=-${key}&limit=3`)
    t.ok(up.length > 5)
    t.equal(new Set(up.map(({ id }) => id)).size, await app.prisma.user.count())
    t.same(down, up.toReversed())
  }
})

t.test('a query that does not fit is refused', async (t) => {
  for (const query of ['email=ada', 'sort=passwordHash', 'sort=', 'limit=0', 'limit=-1', 'limit=101', 'limit=1e9', 'limit=5%20', 'limit=', 'role=admin', 'cursor=', 'cursor=abc', 'sort=name&sort=email']) {
    t.equal((await list(query)).statusCode, 400, query)
  }
})

interface Item { id: string }

async function walk (query: string): Promise<Item[]> {
  const items: Item[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const page = (await list(query + (cursor && `&cursor=${cursor}`))).json() as { items: Item[], nextCursor: string | null }
    items.push(...page.items)
    cursor = page.nextCursor
  }
  return items
}

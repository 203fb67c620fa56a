import { createHash } from 'node:crypto'
import t from 'tap'
import { bearer, buildApp, registered } from '../helpers/app.ts'
import { withPassword } from '../helpers/passwords.ts'

const app = await buildApp(t)
const ada = { email: 'Ada@Example.com', password: 'correct horse battery', name: 'Ada Lovelace' }
let count = 0
const someone = (rest: object = {}) => ({ ...ada, email: `someone-${++count}@example.com`, ...rest })
const post = (path: string, payload: object) => app.inject({ method: 'POST', url: `/auth/${path}`, payload })
const refresh = (refreshToken: string) => post('refresh', { refreshToken })
const errorsOf = (response: { json: () => { errors?: { pointer: string }[] } }) => response.json().errors?.map(({ pointer }) => pointer)

t.test('registration creates a user and says where', async (t) => {
  const response = await post('register', ada)
  t.equal(response.statusCode, 201)
  t.equal(response.headers.location, '/users/me')
  t.match(response.json(), { id: /^[0-9a-f]{8}-[0-9a-f]{4}-7/, email: 'ada@example.com', name: 'Ada Lovelace', role: 'user', createdAt: /Z$/ })
  t.notMatch(response.body, /password|argon2/i)
})

t.test('an e-mail address has one account, whatever its case', async (t) => {
  const response = await post('register', { ...ada, email: 'ADA@example.COM' })
  t.equal(response.statusCode, 409)
  t.match(response.json(), { code: 'EMAIL_TAKEN', errors: [{ pointer: '#/body/email' }] })
})

t.test('of many registrations at once, one gets the address', async (t) => {
  const payload = someone()
  const responses = await Promise.all(Array.from({ length: 8 }, () => post('register', payload)))
  t.same(responses.map(({ statusCode }) => statusCode).sort(), [201, ...Array<number>(7).fill(409)])
})

t.test('one cannot make oneself an admin', async (t) => {
  const response = await post('register', someone({ role: 'admin' }))
  t.equal(response.statusCode, 400)
  t.same(errorsOf(response), ['#/body/role'])
})

t.test('a registration that does not fit is refused, place by place', async (t) => {
  const bad: Record<string, [object, string[]]> = {
    empty: [{}, ['#/body/email', '#/body/password', '#/body/name']],
    'an address that is none': [someone({ email: 'ada' }), ['#/body/email']],
    'an address with a blank': [someone({ email: ' ada@example.com' }), ['#/body/email']],
    'an address with confusables': [someone({ email: 'аdа@example.com' }), ['#/body/email']],
    'an address with confusables that lower case makes ASCII': [someone({ email: '\u212Aeel@example.com' }), ['#/body/email']],
    'an address with confusables in its domain': [someone({ email: 'ada@еxample.com' }), ['#/body/email']],
    'an address in full width': [someone({ email: 'ada\uFF20example.com' }), ['#/body/email']],
    'an address with a zero-width joiner': [someone({ email: 'a\u200Dda@example.com' }), ['#/body/email']],
    'a long address': [someone({ email: `${'a'.repeat(250)}@example.com` }), ['#/body/email']],
    'a short password': [someone({ password: 'elevenchars' }), ['#/body/password']],
    'a long password': [someone({ password: 'a'.repeat(129) }), ['#/body/password']],
    'a password of 10 KB': [someone({ password: 'a'.repeat(10_240) }), ['#/body/password']],
    'a password that is a number': [someone({ password: 123_456_789_012 }), ['#/body/password']],
    'no name': [someone({ name: '' }), ['#/body/name', '#/body/name']],
    'a blank name': [someone({ name: '   ' }), ['#/body/name']],
    'a name of two lines': [someone({ name: 'Ada\nLovelace' }), ['#/body/name']],
    'a long name': [someone({ name: 'a'.repeat(101) }), ['#/body/name']],
    'NUL in the name': [someone({ name: 'Ada\0' }), ['#/body/name']]
  }
  for (const [what, [payload, pointers]] of Object.entries(bad)) {
    const response = await post('register', payload)
    t.equal(response.statusCode, 400, what)
    t.same(errorsOf(response), pointers, what)
  }
})

t.test('addresses with plus tags are addresses of their own', async (t) => {
  t.equal((await post('register', someone({ email: 'ada+news@example.com' }))).statusCode, 201)
})

t.test('the shortest and the longest password are good', async (t) => {
  for (const password of ['a'.repeat(12), '🔑'.repeat(128)]) {
    const payload = someone({ password })
    t.equal((await post('register', payload)).statusCode, 201)
    t.equal((await post('login', { email: payload.email, password })).statusCode, 200)
  }
})

t.test('signing in gives tokens, which no cache may keep', async (t) => {
  const response = await post('login', { email: 'ADA@example.com', password: ada.password })
  t.equal(response.statusCode, 200)
  t.match(response.json(), { tokenType: 'Bearer', expiresIn: 900, refreshToken: /^[\w-]{43}$/ })
  t.equal(response.headers['cache-control'], 'no-store')
  const me = await app.inject({ url: '/users/me', headers: bearer(response.json().accessToken) })
  t.equal(me.json().email, 'ada@example.com')
})

t.test('a password of 10 KB is not even hashed', async (t) => {
  const response = await post('login', { email: ada.email, password: 'a'.repeat(10_240) })
  t.equal(response.statusCode, 400)
  t.same(errorsOf(response), ['#/body/password'])
})

t.test('forms are taken too', async (t) => {
  const response = await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ email: ada.email, password: ada.password }).toString()
  })
  t.equal(response.statusCode, 200)
})

t.test('an unknown address and a wrong password are answered alike', async (t) => {
  const [unknown, wrong] = await Promise.all([
    post('login', { email: 'nobody@example.com', password: ada.password }),
    post('login', { email: ada.email, password: 'wrong horse battery' })
  ])
  t.equal(unknown.statusCode, 401)
  t.equal(unknown.json().code, 'INVALID_CREDENTIALS')
  const stable = ({ type, title, status, detail, code }: Record<string, unknown>) => ({ type, title, status, detail, code })
  t.same(stable(unknown.json()), stable(wrong.json()))
})

t.test('an account without a password is answered like one with another', async (t) => {
  const { email, token } = await registered(app)
  const response = await post('login', { email, password: ada.password })
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, 'INVALID_CREDENTIALS')
  const change = await app.inject({ method: 'PUT', url: '/users/me/password', headers: bearer(token), payload: { currentPassword: ada.password, newPassword: ada.password } })
  t.match(change.json(), { status: 403, code: 'WRONG_PASSWORD' })
})

t.test('a hash of yesterday is renewed at the next sign-in', async (t) => {
  const { email, password, id } = await withPassword(app)
  const old = '$argon2id$v=19$m=1024,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$'
  const { argon2Sync } = await import('node:crypto')
  const tag = argon2Sync('argon2id', { message: password, nonce: Buffer.alloc(16, 7), memory: 1024, passes: 1, parallelism: 1, tagLength: 32 })
  await app.prisma.user.update({ where: { id }, data: { passwordHash: old + tag.toString('base64').replaceAll('=', '') } })
  t.equal((await post('login', { email, password })).statusCode, 200)
  t.match((await app.prisma.user.findUniqueOrThrow({ where: { id } })).passwordHash, /\$m=19456,t=2,p=1\$/)
  t.equal((await post('login', { email, password })).statusCode, 200)
})

t.test('refreshing rotates the token', async (t) => {
  const { refreshToken } = await withPassword(app)
  const response = await refresh(refreshToken)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['cache-control'], 'no-store')
  t.not(response.json().refreshToken, refreshToken)
  t.equal((await refresh(response.json().refreshToken)).statusCode, 200)
})

t.test('a spent token that comes again when its successor was used ends its session, at once', async (t) => {
  const { refreshToken } = await withPassword(app)
  const second = (await refresh(refreshToken)).json().refreshToken
  const third = (await refresh(second)).json().refreshToken
  const reuse = await refresh(refreshToken)
  t.equal(reuse.statusCode, 401)
  t.equal(reuse.json().code, 'INVALID_REFRESH_TOKEN')
  t.equal((await refresh(third)).statusCode, 401)
})

t.test('one that comes again after the grace ends its session', async (t) => {
  const strict = await buildApp(t, { REFRESH_GRACE: 0 })
  const { refreshToken } = await withPassword(app)
  const send = (token: string) => strict.inject({ method: 'POST', url: '/auth/refresh', payload: { refreshToken: token } })
  const next = (await send(refreshToken)).json().refreshToken
  t.equal((await send(refreshToken)).statusCode, 401)
  t.equal((await send(next)).statusCode, 401)
})

t.test('one that comes again soon, its successor unused, is only refused', async (t) => {
  const { refreshToken } = await withPassword(app)
  const next = (await refresh(refreshToken)).json().refreshToken
  t.equal((await refresh(refreshToken)).statusCode, 401)
  t.equal((await refresh(next)).statusCode, 200)
})

t.test('it leaves the other sessions of the user alone', async (t) => {
  const { email, password, refreshToken } = await withPassword(app)
  const other = (await post('login', { email, password })).json().refreshToken
  await refresh((await refresh(refreshToken)).json().refreshToken)
  t.equal((await refresh(refreshToken)).statusCode, 401)
  t.equal((await refresh(other)).statusCode, 200)
})

t.test('of the same token sent at once, one works and the session goes on', async (t) => {
  const { refreshToken } = await withPassword(app)
  const responses = await Promise.all(Array.from({ length: 8 }, () => refresh(refreshToken)))
  const winners = responses.filter(({ statusCode }) => statusCode === 200)
  t.equal(winners.length, 1)
  t.ok(responses.every(({ statusCode }) => statusCode === 200 || statusCode === 401))
  t.equal((await refresh(winners[0]!.json().refreshToken)).statusCode, 200)
})

t.test('so it does over connections of their own, where some come when the first is done', async (t) => {
  const { refreshToken } = await withPassword(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `${app.listeningOrigin}/auth/refresh`
  const send = (token: string) => fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ refreshToken: token }) })
  const responses = await Promise.all(Array.from({ length: 40 }, () => send(refreshToken)))
  const winners = responses.filter(({ status }) => status === 200)
  t.equal(winners.length, 1)
  const { refreshToken: next } = await winners[0]!.json() as { refreshToken: string }
  t.equal((await send(next)).status, 200)
})

t.test('an expired token is refused', async (t) => {
  const { id, refreshToken } = await withPassword(app)
  await app.prisma.refreshToken.updateMany({ where: { userId: id }, data: { createdAt: new Date(0), expiresAt: new Date(1) } })
  t.equal((await refresh(refreshToken)).statusCode, 401)
})

t.test('what is no token of ours is refused', async (t) => {
  for (const token of ['x', 'A'.repeat(43), "' OR 1=1 --".replaceAll(' ', '')]) t.equal((await refresh(token)).statusCode, 401, token)
  for (const token of ['', 'A'.repeat(513), 7, null]) t.equal((await post('refresh', { refreshToken: token })).statusCode, 400, String(token))
})

t.test('a new role shows in the next access token', async (t) => {
  const { id, refreshToken } = await withPassword(app)
  await app.prisma.user.update({ where: { id }, data: { role: 'admin' } })
  const { accessToken } = (await refresh(refreshToken)).json()
  t.equal((await app.inject({ url: '/users', headers: bearer(accessToken) })).statusCode, 200)
})

t.test('signing out ends the session', async (t) => {
  const { refreshToken } = await withPassword(app)
  const response = await post('logout', { refreshToken })
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.equal((await refresh(refreshToken)).statusCode, 401)
})

t.test('a spent token signs its session out as well', async (t) => {
  const { refreshToken } = await withPassword(app)
  const next = (await refresh(refreshToken)).json().refreshToken
  await post('logout', { refreshToken })
  t.equal((await refresh(next)).statusCode, 401)
})

t.test('signing out of no session is no error', async (t) => {
  t.equal((await post('logout', { refreshToken: 'unknown' })).statusCode, 204)
})

t.test('neither passwords nor refresh tokens are stored', async (t) => {
  const { id, refreshToken, password } = await withPassword(app)
  const { passwordHash, refreshTokens } = await app.prisma.user.findUniqueOrThrow({ where: { id }, include: { refreshTokens: true } })
  t.match(passwordHash, /^\$argon2id\$/)
  t.notMatch(passwordHash, password)
  t.same(refreshTokens.map(({ tokenHash }) => Buffer.from(tokenHash).toString('hex')), [createHash('sha256').update(refreshToken).digest('hex')])
})

t.test('each address may try only so often, each route by itself', async (t) => {
  const app = await buildApp(t, { AUTH_RATE_LIMIT_MAX: 3 })
  const attempt = (path: string, payload: object) => app.inject({ method: 'POST', url: `/auth/${path}`, payload })
  for (let count = 0; count < 3; count++) t.equal((await attempt('login', { email: 'nobody@example.com', password: 'wrong' })).statusCode, 401)
  const limited = await attempt('login', { email: 'nobody@example.com', password: 'wrong' })
  t.equal(limited.statusCode, 429)
  t.ok(Number(limited.headers['retry-after']) > 0)
  t.equal((await attempt('refresh', { refreshToken: 'unknown' })).statusCode, 401)
  for (let count = 0; count < 3; count++) t.equal((await attempt('logout', { refreshToken: 'unknown' })).statusCode, 204)
  t.equal((await attempt('logout', { refreshToken: 'unknown' })).statusCode, 429)
  t.equal((await app.inject('/products')).statusCode, 200)
})

t.test('strangers send 16 KiB at the most, and nothing compressed', async (t) => {
  for (const path of ['register', 'login', 'refresh', 'logout']) {
    const send = (payload: string, headers = {}) => app.inject({ method: 'POST', url: `/auth/${path}`, payload, headers: { 'content-type': 'application/json', ...headers } })
    t.equal((await send(`[${'0,'.repeat(8192)}0]`)).statusCode, 413, path)
    t.equal((await send('{}', { 'content-encoding': 'gzip' })).statusCode, 415, path)
  }
})

t.test('over a connection of its own, a sign-in is answered when its body has been read, and one that hangs up leaves the line', async (t) => {
  const { email, password } = await withPassword(app)
  const fastify = await buildApp(t)
  const url = `${await fastify.listen({ port: 0, host: '127.0.0.1' })}/auth/login`
  const signIn = (signal?: AbortSignal) => fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ email, password }), signal })
  t.equal((await signIn()).status, 200)
  const gone = new AbortController()
  const many = Array.from({ length: 20 }, () => signIn(gone.signal))
  const stays = signIn()
  setTimeout(() => gone.abort(), 20)
  t.ok((await Promise.allSettled(many)).some(({ status }) => status === 'rejected'))
  t.equal((await stays).status, 200)
})

t.test('an account is made by registering alone', async (t) => {
  const { token } = await registered(app)
  const response = await app.inject({ method: 'PUT', url: '/users/me', headers: bearer(token), payload: { email: 'ada@example.com', name: 'Ada' } })
  t.equal(response.statusCode, 405)
})

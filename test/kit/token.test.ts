import { randomUUID } from 'node:crypto'
import t from 'tap'
import { asAdmin, bearer, buildApp, registered, testDatabase } from '../helpers/app.ts'
import { runKit } from '../helpers/process.ts'
import { developmentKey } from '../../plugins/auth/keys.ts'

const DATA_DIR = t.testdir()
const app = await buildApp(t, { JWT_PRIVATE_KEY: developmentKey(DATA_DIR) })
const env = { DATA_DIR, DATABASE_URL: await testDatabase() }
const token = (...words: string[]) => runKit(['token', ...words], env)

/** The token that the command prints, and what is in it. */
async function printed (...words: string[]): Promise<{ text: string, claims: Record<string, unknown> }> {
  const { code, output } = await token(...words)
  t.equal(code, 0)
  t.match(output, /^[\w-]+\.[\w-]+\.[\w-]+\n$/, 'a token and nothing else')
  return { text: output.trim(), claims: JSON.parse(Buffer.from(output.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown> }
}

t.test('the token of an account has the scopes of its role', async t => {
  const [user, admin] = [await registered(app), await asAdmin(app)]
  const { text, claims } = await printed('--email', user.email.toUpperCase())
  t.match(claims, { sub: user.id, scope: /^(?!.*users:read)/ })
  t.match((await app.inject({ url: '/users/me', headers: bearer(text) })).json(), { id: user.id })
  const { text: ofAdmin } = await printed('--email', admin.email)
  t.equal((await app.inject({ url: '/users', headers: bearer(ofAdmin) })).statusCode, 200)
})

t.test('the role that is asked for counts, whatever that of the account', async t => {
  const [user, admin] = [await registered(app), await asAdmin(app)]
  t.match((await printed('--email', user.email, '--role', 'admin')).claims, { sub: user.id, scope: /users:read/ })
  t.match((await printed('--email', admin.email, '--role', 'user')).claims, { sub: admin.id, scope: /^(?!.*users:read)/ })
  t.equal((await app.prisma.user.findUniqueOrThrow({ where: { id: user.id } })).role, 'user', 'which stays as it is')
})

t.test('where there is no account with the address it is made, once', async t => {
  const email = `${randomUUID()}@example.com`
  const { text, claims } = await printed('--email', email, '--role', 'admin')
  t.match((await app.inject({ url: '/users/me', headers: bearer(text) })).json(), { id: claims.sub, email, role: 'admin' })
  t.equal((await printed('--email', email)).claims.sub, claims.sub)
})

t.test('an id needs no account, and no id is somebody who has none', async t => {
  const id = randomUUID()
  t.match((await printed('--id', id)).claims, { sub: id })
  const { text } = await printed('--role', 'admin')
  t.equal((await app.inject({ url: '/users', headers: bearer(text) })).statusCode, 200)
  t.equal((await app.inject({ url: '/users/me', headers: bearer(text) })).statusCode, 404)
})

t.test('the scopes can be said', async t => {
  t.match((await printed('--scopes', 'users:read products:write')).claims, { scope: 'users:read products:write' })
  t.match((await printed('--scopes', '')).claims, { scope: '' })
})

t.test('mistakes are named in a line', async t => {
  for (const [words, said] of [
    [['--email', 'ada'], /Expected an e-mail address/],
    [['--id', '7'], /Expected a UUID/],
    [['--role', 'root'], /Allowed choices are user, admin/],
    [['--scopes', 'users:raed'], /No role has the scope users:raed\. There are: .*users:read/],
    [['--email', 'ada@example.com', '--id', randomUUID()], /cannot be used with/],
    [['--role', 'admin', '--scopes', 'users:read'], /cannot be used with/]
  ] as const) {
    const { code, output } = await token(...words)
    t.equal(code, 1)
    t.match(output, said)
    t.notMatch(output, /\n +at /)
  }
})

t.test('it is for development alone', async t => {
  for (const [settings, said] of [
    [{ NODE_ENV: 'production', JWT_JWKS_URL: 'https://issuer.example/jwks.json' }, /^In production tokens are for those who sign in\.\n$/],
    [{ NODE_ENV: 'production' }, /JWT_PRIVATE_KEY: must be set in production/],
    [{ JWT_JWKS_URL: 'https://issuer.example/jwks.json' }, /^The tokens that are taken are those of another issuer/]
  ] as const) t.match(await runKit(['token'], { ...env, ...settings }), { code: 1, output: said })
})

t.test('a database that is not there is said', async t => {
  const DATABASE_URL = `${new URL(env.DATABASE_URL).protocol}//user:hunter2@127.0.0.1:1/none`
  t.match((await runKit(['token', '--email', 'ada@example.com'], { DATA_DIR, DATABASE_URL })).output, /^Can't reach the database server at 127\.0\.0\.1:1[^\n]*\n$/)
})

t.test('so is an embedded one that npm start has not made ready', async t => {
  t.match((await runKit(['token', '--email', 'ada@example.com'], { DATA_DIR: t.testdir() })).output, /^The database has no tables yet: npm start, or npm run db:migrate, makes them\.\n$/)
})

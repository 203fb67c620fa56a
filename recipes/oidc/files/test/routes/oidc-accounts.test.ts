// Whose account a sign-in gets, and what the issuer has to say for it.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { buildApp } from '../helpers/app.ts'
import { signIn, startOidcIssuer } from '../helpers/oidc-issuer.ts'
import { signInService } from '../helpers/oidc-sign-in.ts'
import { withPassword } from '../helpers/passwords.ts'

const { issuer, app, person, accountOf } = await signInService(t)

t.test('who comes again has the same account, whatever the address is by then', async t => {
  const { name } = person()
  const { id, email } = await accountOf(name)
  issuer.people[name] = { email: `${randomUUID()}@example.com`, email_verified: false }
  t.match(await accountOf(name), { id, email })
  t.equal(await app.prisma.identity.count({ where: { userId: id } }), 1)
})

t.test('several at once of somebody new make one account', async t => {
  const { name } = person()
  const ids = await Promise.all([1, 2, 3, 4].map(async () => (await accountOf(name)).id))
  t.equal(new Set(ids).size, 1)
})

t.test('without a verified address there is no account', async t => {
  for (const claims of [{ email_verified: false }, { email_verified: undefined }, { email_verified: 'false' }, { email_verified: 1 }, { email: undefined }, { email: 'no address' }, { email: `${'x'.repeat(250)}@example.com` }, { email: 'a\0b@example.com' }]) {
    const { name } = person(claims)
    const users = await app.prisma.user.count()
    t.same((await signIn(app, name)).values, { error: 'EMAIL_NOT_VERIFIED' }, JSON.stringify(claims))
    t.equal(await app.prisma.user.count(), users)
    t.equal(await app.prisma.identity.count({ where: { subject: name } }), 0)
  }
  t.ok(await accountOf(person({ email_verified: 'true' }).name), 'some issuers say it as a text')
})

t.test('names are made fit', async t => {
  for (const [claims, expected] of [
    [{ name: undefined, preferred_username: 'ada' }, 'ada'], [{ name: '' }, /^[0-9a-f-]{36}$/], [{ name: ' a\0b\nc ' }, 'a b c'], [{ name: 'x'.repeat(500) }, 'x'.repeat(100)], [{ name: '𝒜'.repeat(90) }, '𝒜'.repeat(50)], [{ name: 5 }, /^[0-9a-f-]{36}$/]
  ] as const) t.match((await accountOf(person(claims).name)).name, expected)
})

t.test('an account that has the address already stays whose it is', async t => {
  const owner = await withPassword(app)
  const { name } = person({ email: owner.email.toUpperCase() })
  t.same((await signIn(app, name)).values, { error: 'ACCOUNT_EXISTS' })
  t.equal(await app.prisma.identity.count({ where: { userId: owner.id } }), 0)
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', payload: { email: owner.email, password: owner.password } })).statusCode, 200)
})

t.test('where accounts are linked, whoever registered the address before loses it', async t => {
  const linking = await buildApp(t, { ...issuer.settings, OIDC_LINK_ACCOUNTS: 'verified-email' })
  const squatter = await withPassword(app)
  t.same((await signIn(linking, person({ email: squatter.email, email_verified: false }).name)).values, { error: 'EMAIL_NOT_VERIFIED' }, 'only for a verified address')
  const { name } = person({ email: squatter.email })
  t.equal((await accountOf(name, linking)).id, squatter.id)
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', payload: { email: squatter.email, password: squatter.password } })).statusCode, 401, 'the password is gone')
  t.equal((await app.inject({ method: 'POST', url: '/auth/refresh', payload: { refreshToken: squatter.refreshToken } })).statusCode, 401, 'so are the sessions')
  t.equal((await accountOf(name, linking)).id, squatter.id)
  // The address is given to somebody else at the issuer.
  t.same((await signIn(linking, person({ email: squatter.email }).name)).values, { error: 'ACCOUNT_EXISTS' })
})

t.test('an issuer that puts the address into the ID token is not asked again', async t => {
  const other = await startOidcIssuer(t, { config: { conformIdTokenClaims: false } })
  const app = await buildApp(t, other.settings)
  other.people.ada = { email: `${randomUUID()}@example.com`, email_verified: true }
  t.ok((await signIn(app, 'ada')).values.code)
  t.notOk(other.requests.includes('/me'))
})

t.test('the same subject of another issuer is somebody else', async t => {
  const other = await startOidcIssuer(t)
  const second = await buildApp(t, other.settings)
  const { name } = person()
  other.people[name] = { email: `${randomUUID()}@example.com`, email_verified: true }
  t.not((await accountOf(name)).id, (await accountOf(name, second)).id)
})

// Whose account a sign-in gets, and what the issuer has to say for it.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { accountOf as accountOfProfile } from '../../services/identities.ts'
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
  for (const claims of [{ email_verified: false }, { email_verified: undefined }, { email_verified: 'false' }, { email_verified: 1 }, { email: undefined }, { email: 'no address' }, { email: `${'x'.repeat(250)}@example.com` }, { email: 'a\0b@example.com' }, { email: 'käthe@example.com' }, { email: 'ada@exämple.com' }]) {
    const { name } = person(claims)
    const users = await app.prisma.user.count()
    t.same((await signIn(app, name)).values, { error: 'EMAIL_NOT_VERIFIED' }, JSON.stringify(claims))
    t.equal(await app.prisma.user.count(), users)
    t.equal(await app.prisma.identity.count({ where: { subject: name } }), 0)
  }
  t.ok(await accountOf(person({ email_verified: 'true' }).name), 'some issuers say it as a text')
})

t.test('that an address is verified counts where the address is', async t => {
  const email = `${randomUUID()}@example.com`
  const other = await startOidcIssuer(t, {
    config: {
      conformIdTokenClaims: false,
      findAccount: (_ctx, id) => ({ accountId: id, claims: async use => ({ sub: id, ...use === 'id_token' ? { email_verified: true } : { email, email_verified: id === 'verified' } }) })
    }
  })
  const app = await buildApp(t, other.settings)
  t.same((await signIn(app, 'other')).values, { error: 'EMAIL_NOT_VERIFIED' })
  t.ok((await signIn(app, 'verified')).values.code)
})

t.test('a subject that cannot be stored, or is everybody\'s, has no account', async t => {
  // The provider of the tests has none of these.
  for (const subject of ['a\0b', '\ud800', 'x'.repeat(256), '']) {
    const profile = { issuer: issuer.url, subject, email: `${randomUUID()}@example.com`, isEmailVerified: true, name: 'Ada' }
    await t.rejects(accountOfProfile(app.prisma, profile, { linksByEmail: false, isAddress: () => true }, new AbortController().signal), { code: 'SIGN_IN_FAILED' }, JSON.stringify(subject.slice(0, 3)))
  }
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

t.test('an address that has the spelling of another by our making alone is not that one', async t => {
  const linking = await buildApp(t, { ...issuer.settings, OIDC_LINK_ACCOUNTS: 'verified-email' })
  const { id, password } = await withPassword(app)
  const { email } = await app.prisma.user.update({ where: { id }, data: { email: `kate-${randomUUID()}@example.com` } })
  // The Kelvin sign, a mailbox of its own where mail is in UTF-8; our one spelling of it is k.
  const { name } = person({ email: email.replace('k', '\u212a') })
  t.same((await signIn(linking, name)).values, { error: 'EMAIL_NOT_VERIFIED' })
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', payload: { email, password } })).statusCode, 200)
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

// Signing in from the first page to the session, and the code that the page exchanges.
import t from 'tap'
import { bearer, buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { Browser, atIssuer, begin, landing, pageSecret, signIn } from '../helpers/oidc-issuer.ts'
import { signInService } from '../helpers/oidc-sign-in.ts'

const { issuer, app, person, exchange, me, accountOf } = await signInService(t)

t.test('somebody new signs in, and has an account and a session', async t => {
  const { name, email } = person()
  const { verifier, challenge } = pageSecret()
  const { location, values } = await signIn(app, name, { challenge, returnTo: '/welcome?tab=1' })
  t.equal(location, 'http://127.0.0.1:1/welcome?tab=1')
  t.same(Object.keys(values), ['code'], 'and no token')
  const response = await exchange({ code: values.code, verifier })
  t.equal(response.statusCode, 200)
  t.equal(response.headers['cache-control'], 'no-store')
  const { accessToken, refreshToken, tokenType, expiresIn } = response.json()
  t.match({ tokenType, expiresIn }, { tokenType: 'Bearer', expiresIn: 900 })
  t.match(await me(accessToken), { email, name: 'Ada Lovelace', role: 'user' })
  t.equal((await app.inject({ method: 'POST', url: '/auth/refresh', payload: { refreshToken } })).statusCode, 200)
  t.match((await app.inject({ url: '/users/me/sessions', headers: bearer(accessToken) })).json().items, [{ current: true }])
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', payload: { email, password: 'any password at all' } })).statusCode, 401, 'it has no password')
})

t.test('a sign-in may begin, end and be exchanged in three processes', async t => {
  const [second, third] = [await buildApp(t, issuer.settings), await buildApp(t, issuer.settings)]
  const { name, email } = person()
  const browser = new Browser()
  const { verifier, challenge } = pageSecret()
  const back = await atIssuer(browser, await begin(app, browser, { challenge }), name)
  const { values: { code } } = landing(await browser.visit(second, back))
  t.match(await me((await exchange({ code, verifier }, third)).json().accessToken), { email })
})

t.test('two tabs do not get in each other\'s way', async t => {
  const browser = new Browser()
  const secrets = [pageSecret(), pageSecret()]
  const urls = []
  for (const { challenge } of secrets) urls.push(await begin(app, browser, { challenge }))
  const { name } = person()
  const backs = []
  for (const url of urls) backs.push(await atIssuer(browser, url, name))
  for (const [index, back] of backs.entries()) {
    const { values: { code } } = landing(await browser.visit(app, back))
    t.equal((await exchange({ code, verifier: secrets[index]!.verifier })).statusCode, 200)
  }
})

t.test('a code is good once, for who has the secret, for a minute', async t => {
  const { name } = person()
  const codeOf = async (challenge: string) => (await signIn(app, name, { challenge })).values.code
  const invalid = async (values: object, what: string) => t.match((await exchange(values)).json(), { status: 401, code: 'INVALID_SIGN_IN_CODE' }, what)
  const { verifier, challenge } = pageSecret()

  const first = await codeOf(challenge)
  t.equal((await exchange({ code: first, verifier })).statusCode, 200)
  await invalid({ code: first, verifier }, 'again')
  const second = await codeOf(challenge)
  await invalid({ code: second, verifier: pageSecret().verifier }, 'another secret')
  await invalid({ code: second, verifier }, 'and it is spent')
  await invalid({ code: second, verifier: challenge }, 'the challenge is no secret')
  await invalid({ code: pageSecret().verifier, verifier }, 'a code that nobody gave out')
  const third = await codeOf(challenge)
  await app.prisma.signInCode.updateMany({ data: { expiresAt: new Date(Date.now() - 1) } })
  await invalid({ code: third, verifier }, 'too late')
  const fourth = await codeOf(challenge)
  t.same((await Promise.all([1, 2, 3].map(async () => (await exchange({ code: fourth, verifier })).statusCode))).sort(), [200, 401, 401])
  const fifth = await codeOf(challenge)
  await app.prisma.user.delete({ where: { id: (await accountOf(name)).id } })
  await invalid({ code: fifth, verifier }, 'the account is gone')
  for (const body of [{}, { code: fourth }, { verifier }, { code: 5, verifier }, { code: fourth, verifier: 'short' }, { code: fourth, verifier, extra: 1 }, { code: `${fourth}x`, verifier }]) t.equal((await exchange(body)).statusCode, 400)
})

t.test('nothing that opens anything is stored as it is, or logged', async t => {
  const { app, lines } = await buildLogged(t, issuer.settings)
  const { name } = person()
  const browser = new Browser()
  const { verifier, challenge } = pageSecret()
  const url = await begin(app, browser, { challenge })
  const back = await atIssuer(browser, url, name)
  const { values: { code } } = landing(await browser.visit(app, back))
  const stored = JSON.stringify([await app.prisma.signIn.findMany(), await app.prisma.signInCode.findMany()])
  const { accessToken, refreshToken } = (await exchange({ code, verifier }, app)).json()
  await signIn(app, null)
  const query = new URLSearchParams(back.split('?')[1])
  const secrets = [code!, verifier, accessToken, refreshToken, query.get('code')!, query.get('state')!]
  for (const secret of secrets) t.notOk(JSON.stringify(lines).includes(secret))
  for (const secret of [code!, query.get('state')!]) t.notOk(stored.includes(secret))
  t.match(lines.find(({ msg }) => msg.includes('cancelled')), { code: 'SIGN_IN_DENIED', reason: 'The issuer answered access_denied' })
})

t.test('guesses are limited', async t => {
  const app = await buildApp(t, { ...issuer.settings, AUTH_RATE_LIMIT_MAX: 2 })
  for (const url of [`/auth/oidc/login?returnTo=/&challenge=${pageSecret().challenge}`, '/auth/oidc/callback?state=x']) {
    for (let n = 0; n < 2; n++) t.not((await app.inject(url)).statusCode, 429)
    t.equal((await app.inject(url)).statusCode, 429)
  }
  for (let n = 0; n < 2; n++) t.equal((await exchange({ code: pageSecret().verifier, verifier: pageSecret().verifier }, app)).statusCode, 401)
  t.equal((await exchange({ code: pageSecret().verifier, verifier: pageSecret().verifier }, app)).statusCode, 429)
})

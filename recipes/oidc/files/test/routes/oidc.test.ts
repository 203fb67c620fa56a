import { randomUUID } from 'node:crypto'
import t from 'tap'
import { loadConfig, type Config } from '../../plugins/config/index.ts'
import { bearer, buildApp, registered } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { Browser, atIssuer, begin, landing, pageSecret, signIn, startOidcIssuer } from '../helpers/oidc-issuer.ts'
import { until } from '../helpers/until.ts'

const APP = 'https://app.example.com'
const issuer = await startOidcIssuer(t)
const app = await buildApp(t, { ...issuer.settings, ALLOWED_ORIGINS: [APP] })

/** Somebody whom the issuer knows, and vouches for. */
function person (claims: Record<string, unknown> = {}): { name: string, email: string } {
  const [name, email] = [randomUUID(), `${randomUUID()}@example.com`]
  issuer.people[name] = { email, email_verified: true, name: 'Ada Lovelace', ...claims }
  return { name, email }
}

const exchange = async (values: object, at = app) => await at.inject({ method: 'POST', url: '/auth/oidc/token', payload: values })
const me = async (token: string) => (await app.inject({ url: '/users/me', headers: bearer(token) })).json()

/** Signs in all the way; gives the account. */
async function accountOf (name: string, at = app): Promise<{ id: string, email: string, name: string, role: string }> {
  const { verifier, challenge } = pageSecret()
  const { values: { code, error } } = await signIn(at, name, { challenge })
  if (code === undefined) throw new Error(error)
  return await me((await exchange({ code, verifier }, at)).json().accessToken)
}

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

t.test('what is sent to the issuer', async t => {
  const browser = new Browser()
  const urls = [await begin(app, browser), await begin(app, browser)]
  for (const { searchParams } of urls) {
    t.match(Object.fromEntries(searchParams), { response_type: 'code', client_id: 'keel', scope: 'openid email profile', code_challenge_method: 'S256', redirect_uri: issuer.settings.OIDC_REDIRECT_URI })
    for (const name of ['state', 'nonce', 'code_challenge']) t.match(searchParams.get(name), /^[\w-]{43}$/)
  }
  for (const name of ['state', 'nonce', 'code_challenge']) t.not(urls[0]!.searchParams.get(name), urls[1]!.searchParams.get(name))
  const response = await app.inject(`/auth/oidc/login?returnTo=/&challenge=${pageSecret().challenge}`)
  t.match(response.headers['set-cookie'], /^sign-in=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/)
  t.equal(response.headers['cache-control'], 'no-store')
})

t.test('by https the cookie is of this host alone', async t => {
  const app = await buildApp(t, { ...issuer.settings, OIDC_REDIRECT_URI: 'https://api.example.com/auth/oidc/callback' })
  const response = await app.inject(`/auth/oidc/login?returnTo=/&challenge=${pageSecret().challenge}`)
  t.match(response.headers['set-cookie'], /^__Host-sign-in=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
})

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

t.test('keys that the issuer has rotated are believed at once, and those before no more', async t => {
  const { name } = person()
  const { id } = await accountOf(name)
  await issuer.rotateKeys()
  t.equal((await accountOf(name)).id, id)
  await issuer.rotateKeys()
  t.equal((await accountOf(name)).id, id)
})

t.test('an ID token of a key that the issuer does not publish is none', async t => {
  const browser = new Browser()
  const back = await atIssuer(browser, await begin(app, browser), person().name)
  const served = app.oidc
  t.ok(served)
  // The keys are fetched after the token: by then they are others.
  const { fetch } = globalThis
  t.teardown(() => { globalThis.fetch = fetch })
  globalThis.fetch = async (url, options) => {
    if (String(url).endsWith('/jwks')) await issuer.rotateKeys()
    return await fetch(url, options)
  }
  t.match(landing(await browser.visit(app, back)).values, { error: 'SIGN_IN_FAILED' })
})

t.test('a sign-in ends once, in its browser, with its state, in its time', async t => {
  const { name } = person()
  const unknown = async (browser: Browser, url: string) => t.match((await browser.visit(app, url)).json(), { status: 400, code: 'UNKNOWN_SIGN_IN' }, url.replace(/code=[^&]*/, 'code=…'))
  const browser = new Browser()
  const back = await atIssuer(browser, await begin(app, browser), name)
  await unknown(new Browser(), back)
  const other = new Browser()
  await begin(app, other)
  await unknown(other, back)
  for (const state of ['', 'x', 'x'.repeat(43)]) await unknown(browser, back.replace(/state=[^&]*/, `state=${state}`))
  await unknown(browser, '/auth/oidc/callback')
  t.equal((await browser.visit(app, `${back}&state=again`)).statusCode, 400)
  // None of these has spent it.
  t.ok(landing(await browser.visit(app, back)).values.code)
  await unknown(browser, back)

  const late = await atIssuer(browser, await begin(app, browser), name)
  await app.prisma.signIn.updateMany({ data: { expiresAt: new Date(Date.now() - 1) } })
  await unknown(browser, late)

  const many = await atIssuer(browser, await begin(app, browser), name)
  const answers = await Promise.all([1, 2, 3].map(async () => (await browser.visit(app, many)).statusCode))
  t.same(answers.sort(), [302, 400, 400], 'of several at once, one')
})

t.test('a HEAD ends nothing', async t => {
  const browser = new Browser()
  const back = await atIssuer(browser, await begin(app, browser), person().name)
  t.equal((await app.inject({ method: 'HEAD', url: back })).statusCode, 400)
  t.ok(landing(await browser.visit(app, back)).values.code)
})

t.test('what does not belong together is refused, and the page is told', async t => {
  const { name } = person()
  const failed = async (what: string, tamper: { begin?: (url: URL) => void, back?: (query: URLSearchParams) => void }) => {
    const browser = new Browser()
    const url = await begin(app, browser, { returnTo: `${APP}/sign-in` })
    tamper.begin?.(url)
    const [path, query] = (await atIssuer(browser, url, name)).split('?')
    const search = new URLSearchParams(query)
    tamper.back?.(search)
    t.same(landing(await browser.visit(app, `${path}?${search}`)), { location: `${APP}/sign-in`, values: { error: 'SIGN_IN_FAILED' } }, what)
  }
  await failed('another nonce', { begin: url => url.searchParams.set('nonce', 'another') })
  await failed('no nonce', { begin: url => url.searchParams.delete('nonce') })
  await failed('another PKCE challenge', { begin: url => url.searchParams.set('code_challenge', pageSecret().challenge) })
  await failed('another issuer (RFC 9207)', { back: query => query.set('iss', 'https://evil.example') })
  await failed('no issuer, though it says that it names itself', { back: query => query.delete('iss') })
  await failed('a code that is none', { back: query => query.set('code', 'x') })
  await failed('no code', { back: query => query.delete('code') })
  // The code of another sign-in: its PKCE secret is another.
  const browser = new Browser()
  const stolen = new URLSearchParams((await atIssuer(browser, await begin(app, browser), name)).split('?')[1]).get('code')!
  await failed('the code of another sign-in', { back: query => query.set('code', stolen) })
})

t.test('a code that was used before at the issuer is none', async t => {
  const { name } = person()
  const browser = new Browser()
  const back = await atIssuer(browser, await begin(app, browser), name)
  const row = await app.prisma.signIn.findFirstOrThrow({ orderBy: { expiresAt: 'desc' } })
  t.ok(landing(await browser.visit(app, back)).values.code)
  // As if the database had forgotten that it was spent.
  await app.prisma.signIn.create({ data: row })
  t.match(landing(await browser.visit(app, back)).values, { error: 'SIGN_IN_FAILED' })
})

t.test('who says no at the issuer is told so', async t => {
  const { location, values } = await signIn(app, null, { returnTo: `${APP}/` })
  t.same({ location, values }, { location: `${APP}/`, values: { error: 'SIGN_IN_DENIED' } })
  const errors = { invalid_scope: 'SIGN_IN_FAILED', server_error: 'ISSUER_UNAVAILABLE', temporarily_unavailable: 'ISSUER_UNAVAILABLE', '<script>': 'SIGN_IN_FAILED' }
  for (const [error, code] of Object.entries(errors)) {
    const browser = new Browser()
    const state = (await begin(app, browser)).searchParams.get('state')!
    t.same(landing(await browser.visit(app, `/auth/oidc/callback?${new URLSearchParams({ state, error, iss: issuer.url })}`)).values, { error: code }, error)
  }
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
  const owner = await registered(app)
  const { name } = person({ email: owner.email.toUpperCase() })
  t.same((await signIn(app, name)).values, { error: 'ACCOUNT_EXISTS' })
  t.equal(await app.prisma.identity.count({ where: { userId: owner.id } }), 0)
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', payload: { email: owner.email, password: owner.password } })).statusCode, 200)
})

t.test('where accounts are linked, whoever registered the address before loses it', async t => {
  const linking = await buildApp(t, { ...issuer.settings, OIDC_LINK_ACCOUNTS: 'verified-email' })
  const squatter = await registered(app)
  t.same((await signIn(linking, person({ email: squatter.email, email_verified: false }).name)).values, { error: 'EMAIL_NOT_VERIFIED' }, 'only for a verified address')
  const { name } = person({ email: squatter.email })
  t.equal((await accountOf(name, linking)).id, squatter.id)
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', payload: { email: squatter.email, password: squatter.password } })).statusCode, 401, 'the password is gone')
  t.equal((await app.inject({ method: 'POST', url: '/auth/refresh', payload: { refreshToken: squatter.refreshToken } })).statusCode, 401, 'so are the sessions')
  t.equal((await accountOf(name, linking)).id, squatter.id)
  // The address is given to somebody else at the issuer.
  t.same((await signIn(linking, person({ email: squatter.email }).name)).values, { error: 'ACCOUNT_EXISTS' })
})

t.test('a sign-in returns to this service and its origins alone', async t => {
  const { challenge } = pageSecret()
  const login = async (returnTo: string) => await app.inject(`/auth/oidc/login?${new URLSearchParams({ returnTo, challenge })}`)
  for (const returnTo of ['/', '/a/b?c=d', 'relative', APP, `${APP}/deep?x=1`, 'http://127.0.0.1:1/own', '/%2f%2fevil.example', '/a/../b', '?x']) t.equal((await login(returnTo)).statusCode, 302, returnTo)
  // What looks like another origin and is none goes where browsers would go.
  await app.prisma.signIn.deleteMany()
  for (const [returnTo, href] of [['http:/evil.example', 'http://127.0.0.1:1/evil.example'], ['https://app.example.com\\@evil.example', `${APP}/@evil.example`], ['HTTPS://APP.example.com', `${APP}/`]] as const) {
    await login(returnTo)
    t.equal((await app.prisma.signIn.findMany({ where: { returnTo: href } })).length, 1, returnTo)
  }
  const rows = await app.prisma.signIn.count()
  for (const returnTo of ['//evil.example', '/\\evil.example', '\\\\evil.example', '/\t/evil.example', 'https://evil.example', 'https:evil.example', `${APP}.evil.example`, `${APP}@evil.example`, 'https://app.example.com:444/', 'http://app.example.com/',
    'https://user:password@app.example.com/', 'javascript:alert(1)', 'data:text/html,x', 'http://127.0.0.1:2/', '/#fragment', 'http://[::1', '/a\r\nset-cookie: x=y', '', '/\0', 'blob:https://app.example.com/x']) {
    const response = await login(returnTo)
    t.equal(response.statusCode, 400, JSON.stringify(returnTo))
    t.notOk(response.headers.location)
  }
  t.equal(await app.prisma.signIn.count(), rows)
})

t.test('a login that lacks something is refused', async t => {
  const { challenge } = pageSecret()
  for (const query of ['', 'returnTo=/', `challenge=${challenge}`, 'returnTo=/&challenge=short', `returnTo=/&challenge=${challenge}=`, `returnTo=/&returnTo=/&challenge=${challenge}`, `returnTo=/&challenge=${challenge}&extra=1`]) {
    t.equal((await app.inject(`/auth/oidc/login?${query}`)).statusCode, 400, query)
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

t.test('what has expired goes with what comes', async t => {
  await app.prisma.signIn.updateMany({ data: { expiresAt: new Date(0) } })
  await app.prisma.signInCode.updateMany({ data: { expiresAt: new Date(0) } })
  for (let n = 0; n < 10 && await app.prisma.signIn.count({ where: { expiresAt: new Date(0) } }) > 0; n++) await signIn(app, person().name)
  t.equal(await app.prisma.signIn.count({ where: { expiresAt: new Date(0) } }), 0)
  t.equal(await app.prisma.signInCode.count({ where: { expiresAt: new Date(0) } }), 0)
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

t.test('an issuer that is away when the service starts holds nothing up, and is found when it is there', async t => {
  const away = await startOidcIssuer(t)
  await away.stop()
  const { app, lines } = await buildLogged(t, away.settings)
  const login = `/auth/oidc/login?returnTo=/&challenge=${pageSecret().challenge}`
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  const response = await app.inject(login)
  t.match(response.json(), { status: 503, code: 'ISSUER_UNAVAILABLE' })
  t.match(response.headers['retry-after'], /^\d+$/)
  t.ok(lines.some(({ msg }) => msg === 'the OpenID issuer cannot be discovered'))
  t.ok(await registered(app), 'other ways to sign in work')
  await away.start()
  await until(async () => (await app.inject(login)).statusCode === 302)
  away.people.ada = { email: `${randomUUID()}@example.com`, email_verified: true }
  t.ok((await signIn(app, 'ada')).values.code)
})

t.test('an issuer that goes away before it is asked for the token', async t => {
  const away = await startOidcIssuer(t)
  const app = await buildApp(t, away.settings)
  away.people.ada = { email: `${randomUUID()}@example.com`, email_verified: true }
  const browser = new Browser()
  const back = await atIssuer(browser, await begin(app, browser), 'ada')
  await away.stop()
  t.match(landing(await browser.visit(app, back)).values, { error: 'ISSUER_UNAVAILABLE' })
  t.equal((await begin(app, browser)).origin, away.url, 'who begins meanwhile is sent there: what it said of itself is kept')
  await away.start()
  t.ok((await signIn(app, 'ada')).values.code)
})

t.test('an issuer that does not answer does not hold a request for long', async t => {
  const silent = await startOidcIssuer(t)
  const app = await buildApp(t, { ...silent.settings, HTTP_TIMEOUT_MS: 300 })
  silent.people.ada = { email: `${randomUUID()}@example.com`, email_verified: true }
  const browser = new Browser()
  const back = await atIssuer(browser, await begin(app, browser), 'ada')
  const { port } = new URL(silent.url)
  await silent.stop()
  const { createServer } = await import('node:net')
  const mute = createServer(() => {}).listen(Number(port), '127.0.0.1')
  t.teardown(() => mute.close())
  t.match(landing(await browser.visit(app, back)).values, { error: 'ISSUER_UNAVAILABLE' })
})

t.test('an issuer that says that it is another is none', async t => {
  const liar = await startOidcIssuer(t, { says: () => issuer.url })
  const { app, lines } = await buildLogged(t, liar.settings)
  t.match((await app.inject(`/auth/oidc/login?returnTo=/&challenge=${pageSecret().challenge}`)).json(), { code: 'ISSUER_UNAVAILABLE' })
  t.ok(lines.some(({ msg }) => msg === 'the OpenID issuer cannot be discovered'))
})

t.test('a wrong secret of the client fails, and the log says why', async t => {
  const { app, lines } = await buildLogged(t, { ...issuer.settings, OIDC_CLIENT_SECRET: 'wrong' })
  t.match((await signIn(app, person().name)).values, { error: 'SIGN_IN_FAILED' })
  t.match(lines.find(({ code }) => code === 'SIGN_IN_FAILED'), { level: 40, reason: 'The issuer answered invalid_client' })
})

t.test('clients of other kinds', async t => {
  for (const [client, settings] of [
    [{ token_endpoint_auth_method: 'none', client_secret: undefined }, { OIDC_CLIENT_SECRET: undefined }],
    [{ token_endpoint_auth_method: 'client_secret_post' }, {}]
  ] as const) {
    const other = await startOidcIssuer(t, { client, config: { clientAuthMethods: [client.token_endpoint_auth_method] } })
    const app = await buildApp(t, { ...other.settings, ...settings } as Partial<Config>)
    other.people.ada = { email: `${randomUUID()}@example.com`, email_verified: true }
    t.ok((await signIn(app, 'ada')).values.code, client.token_endpoint_auth_method)
  }
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

t.test('off without an issuer', async t => {
  const app = await buildApp(t)
  for (const url of ['/auth/oidc/login', '/auth/oidc/callback']) t.equal((await app.inject(url)).statusCode, 404)
  t.equal((await exchange({}, app)).statusCode, 404)
})

t.test('settings that do not go together stop the start', async t => {
  const problems = (env: Record<string, string>): string => {
    try {
      loadConfig(env)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
  const fine = { OIDC_ISSUER: 'https://issuer.example', OIDC_CLIENT_ID: 'keel', OIDC_REDIRECT_URI: 'https://api.example.com/auth/oidc/callback' }
  t.equal(problems(fine), '')
  for (const [env, problem] of [
    [{ OIDC_ISSUER: fine.OIDC_ISSUER }, /OIDC_ISSUER: needs OIDC_CLIENT_ID/],
    [{ OIDC_ISSUER: fine.OIDC_ISSUER, OIDC_CLIENT_ID: 'keel' }, /OIDC_CLIENT_ID: needs OIDC_REDIRECT_URI/],
    [{ OIDC_CLIENT_SECRET: 'x' }, /OIDC_CLIENT_SECRET: needs OIDC_CLIENT_ID/],
    [{ ...fine, OIDC_ISSUER: 'http://issuer.example' }, /OIDC_ISSUER: expected a URL that starts with https/],
    [{ ...fine, OIDC_REDIRECT_URI: '/callback' }, /OIDC_REDIRECT_URI: expected a URL/],
    [{ ...fine, OIDC_SCOPES: 'email' }, /OIDC_SCOPES: expected openid/],
    [{ ...fine, OIDC_LINK_ACCOUNTS: 'yes' }, /OIDC_LINK_ACCOUNTS: expected one of off, verified-email/],
    [{ ...fine, JWT_JWKS_URL: 'https://issuer.example/jwks' }, /OIDC_ISSUER: is set beside JWT_JWKS_URL/],
    [{ ...fine, OIDC_ISSUER: 'http://127.0.0.1:3001', NODE_ENV: 'production' }, /OIDC_ISSUER: expected https:\/\/ in production/]
  ] as [Record<string, string>, RegExp][]) t.match(problems(env), problem)
})

// GET /auth/oidc/callback: whatever the browser comes back with, one sign-in ends once.
import t from 'tap'
import { Browser, atIssuer, begin, landing, pageSecret, signIn } from '../helpers/oidc-issuer.ts'
import { APP, signInService } from '../helpers/oidc-sign-in.ts'

const { issuer, app, person } = await signInService(t)

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

t.test('what has expired goes with what comes', async t => {
  await app.prisma.signIn.updateMany({ data: { expiresAt: new Date(0) } })
  await app.prisma.signInCode.updateMany({ data: { expiresAt: new Date(0) } })
  for (let n = 0; n < 10 && await app.prisma.signIn.count({ where: { expiresAt: new Date(0) } }) > 0; n++) await signIn(app, person().name)
  t.equal(await app.prisma.signIn.count({ where: { expiresAt: new Date(0) } }), 0)
  t.equal(await app.prisma.signInCode.count({ where: { expiresAt: new Date(0) } }), 0)
})

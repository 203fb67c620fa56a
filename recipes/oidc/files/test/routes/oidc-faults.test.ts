// An issuer that is away, silent or another than it should be.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { Browser, atIssuer, begin, landing, pageSecret, signIn, startOidcIssuer } from '../helpers/oidc-issuer.ts'
import { withPassword } from '../helpers/passwords.ts'
import { until } from '../helpers/until.ts'

const issuer = await startOidcIssuer(t)

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
  t.ok(await withPassword(app), 'other ways to sign in work')
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

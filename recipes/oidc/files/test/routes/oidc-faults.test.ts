// An issuer that is away, silent or another than it should be.
import { randomUUID } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import { createServer as createMute, type AddressInfo } from 'node:net'
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
  const mute = createMute(() => {}).listen(Number(port), '127.0.0.1')
  t.teardown(() => mute.close())
  t.match(landing(await browser.visit(app, back)).values, { error: 'ISSUER_UNAVAILABLE' })
})

t.test('an answer that has no end is given up: one that is too large, and one that drips', async t => {
  const endless = await startOidcIssuer(t)
  const app = await buildApp(t, { ...endless.settings, HTTP_TIMEOUT_MS: 2_000 })
  endless.people.ada = { email: `${randomUUID()}@example.com`, email_verified: true }
  const chunk = ' '.repeat(64 * 1024)
  const flood = (response: ServerResponse) => {
    sent += chunk.length
    if (!response.destroyed) response.write(chunk, () => setImmediate(flood, response))
  }
  const drip = (response: ServerResponse) => {
    if (!response.destroyed) response.write(' ', () => setTimeout(drip, 100, response))
  }
  let sent = 0
  const answers = async (go: (response: ServerResponse) => void) => {
    const browser = new Browser()
    const back = await atIssuer(browser, await begin(app, browser), 'ada')
    await endless.stop()
    const server = createServer((_request, response) => go(response.writeHead(200, { 'content-type': 'application/json' })))
    await new Promise<void>(resolve => server.listen(Number(new URL(endless.url).port), '127.0.0.1', resolve))
    const { values } = landing(await browser.visit(app, back))
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
    await endless.start()
    return values
  }
  t.same(await answers(flood), { error: 'SIGN_IN_FAILED' })
  t.ok(sent < 32 * 1024 * 1024, `${sent} bytes were sent`)
  t.same(await answers(drip), { error: 'ISSUER_UNAVAILABLE' })
})

t.test('an issuer that says that it is another is none', async t => {
  const liar = await startOidcIssuer(t, { says: () => issuer.url })
  const { app, lines } = await buildLogged(t, liar.settings)
  t.match((await app.inject(`/auth/oidc/login?returnTo=/&challenge=${pageSecret().challenge}`)).json(), { code: 'ISSUER_UNAVAILABLE' })
  t.ok(lines.some(({ msg }) => msg === 'the OpenID issuer cannot be discovered'))
})

t.test('an issuer that publishes what cannot be used is none', async t => {
  let metadata: unknown
  const server = createServer((_request, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(metadata)))
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const good = { issuer: url, authorization_endpoint: `${url}/auth`, token_endpoint: `${url}/token`, jwks_uri: `${url}/jwks` }
  const begun = async () => {
    const app = await buildApp(t, { ...issuer.settings, OIDC_ISSUER: url })
    return await app.inject(`/auth/oidc/login?returnTo=/&challenge=${pageSecret().challenge}`)
  }
  metadata = good
  t.equal((await begun()).statusCode, 302)
  for (const bad of [{ authorization_endpoint: undefined }, { authorization_endpoint: 5 }, { authorization_endpoint: 'auth' }, { authorization_endpoint: 'javascript:alert(1)' }, { jwks_uri: null }, { token_endpoint_auth_methods_supported: null }]) {
    metadata = { ...good, ...bad }
    t.match((await begun()).json(), { status: 503, code: 'ISSUER_UNAVAILABLE' }, JSON.stringify(bad))
  }
})

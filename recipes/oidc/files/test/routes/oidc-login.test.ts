// GET /auth/oidc/login: what is sent to the issuer and to the browser, and where a sign-in may return.
import t from 'tap'
import { buildApp } from '../helpers/app.ts'
import { Browser, begin, pageSecret } from '../helpers/oidc-issuer.ts'
import { APP, signInService } from '../helpers/oidc-sign-in.ts'

const { issuer, app } = await signInService(t)

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

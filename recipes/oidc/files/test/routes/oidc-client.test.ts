// The client that the service is at the issuer, and its settings.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { loadConfig, type Config } from '../../plugins/config/index.ts'
import { buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { signIn, startOidcIssuer } from '../helpers/oidc-issuer.ts'
import { signInService } from '../helpers/oidc-sign-in.ts'

const { issuer, person, exchange } = await signInService(t)

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

t.test('people come back to the route of the service, and nowhere else', async t => {
  for (const redirect of ['https://api.example.com/', 'https://api.example.com/auth/oidc/callback?a=1', 'https://api.example.com/auth/oidc/callback#f']) {
    await t.rejects(buildApp(t, { OIDC_ISSUER: 'https://issuer.example', OIDC_CLIENT_ID: 'keel', OIDC_REDIRECT_URI: redirect }), /OIDC_REDIRECT_URI: expected a URL that ends in \/auth\/oidc\/callback/, redirect)
  }
})

import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { bearer, buildApp } from './app.ts'
import { pageSecret, signIn, startOidcIssuer } from './oidc-issuer.ts'

/** Where the page is that people sign in from. */
export const APP = 'https://app.example.com'

/** An issuer, the service that people sign in to by it, and what they do. Ends with the test. */
export async function signInService (t: Test) {
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

  return { issuer, app, person, exchange, me, accountOf }
}

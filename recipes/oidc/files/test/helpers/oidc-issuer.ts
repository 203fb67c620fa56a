import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import Provider, { type Configuration, type JWK } from 'oidc-provider'
import type { Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'

/** What the issuer says of people, by the name that they sign in with there. */
export type People = Record<string, Record<string, unknown>>

export interface OidcIssuer {
  url: string
  people: People
  settings: Partial<Config>
  /** Signs with other keys from now on, and publishes no others. */
  rotateKeys: () => Promise<void>
  stop: () => Promise<void>
  start: () => Promise<void>
  /** Paths that were asked for. */
  requests: string[]
}

const CLIENT = 'keel'
const SECRET = 'a secret of the client'
export const REDIRECT_URI = 'http://127.0.0.1:1/auth/oidc/callback'

/** A certified OpenID provider in this process. Ends with the test. */
export async function startOidcIssuer (t: Test, { says, client = {}, config = {} }: { says?: (url: string) => string, client?: object, config?: Configuration } = {}): Promise<OidcIssuer> {
  let provider: Provider
  let server: Server
  let keys = newKeys()
  let port = 0

  async function start (): Promise<void> {
    server = createServer((request, response) => {
      issuer.requests.push(request.url?.split('?')[0] ?? '')
      void provider.callback()(request as IncomingMessage, response)
    })
    await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
    port = (server.address() as AddressInfo).port
    issuer.url = `http://127.0.0.1:${port}`
    provide()
  }

  function provide (): void {
    provider = new Provider(says?.(issuer.url) ?? issuer.url, {
      clients: [{ client_id: CLIENT, client_secret: SECRET, redirect_uris: [REDIRECT_URI], ...client }],
      jwks: { keys },
      cookies: { keys: ['cookies'] },
      pkce: { required: () => true },
      claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
      findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, ...issuer.people[id] }) }),
      ...config
    })
  }

  const issuer: OidcIssuer = {
    url: '',
    people: {},
    settings: {},
    requests: [],
    start,
    stop: () => new Promise(resolve => {
      server.close(() => resolve())
      server.closeAllConnections()
    }),
    async rotateKeys () {
      keys = newKeys()
      provide()
    }
  }
  await start()
  issuer.settings = { OIDC_ISSUER: issuer.url, OIDC_CLIENT_ID: CLIENT, OIDC_CLIENT_SECRET: SECRET, OIDC_REDIRECT_URI: REDIRECT_URI }
  t.teardown(() => issuer.stop())
  return issuer
}

function newKeys (): JWK[] {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return [{ ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' } as JWK]
}

/** A browser: it keeps cookies, and follows redirects when it is told to. */
export class Browser {
  readonly #cookies = new Map<string, Map<string, string>>()

  /** A request of another site's page, or one that somebody typed: cookies that are not Lax would not go along. */
  async go (url: string | URL, form?: Record<string, string>): Promise<Response> {
    const { origin } = new URL(url)
    const jar = this.#cookies.get(origin) ?? new Map<string, string>()
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, { method: form ? 'POST' : 'GET', redirect: 'manual', headers: { cookie, ...form ? { 'content-type': 'application/x-www-form-urlencoded' } : {} }, body: form ? new URLSearchParams(form).toString() : undefined })
    this.keep(origin, response.headers.getSetCookie())
    return response
  }

  keep (origin: string, cookies: string[]): void {
    const jar = this.#cookies.get(origin) ?? new Map<string, string>()
    for (const line of cookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '' || /expires=Thu, 01 Jan 1970/i.test(line)) jar.delete(name)
      else jar.set(name, value)
    }
    this.#cookies.set(origin, jar)
  }

  /** At the service, which is not at its redirect URI here. */
  async visit (app: FastifyInstance, url: string) {
    const jar = this.#cookies.get('service') ?? new Map<string, string>()
    const response = await app.inject({ url, headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') } })
    this.keep('service', [response.headers['set-cookie'] ?? []].flat())
    return response
  }
}

/** A page's own secret, and its challenge. */
export function pageSecret (): { verifier: string, challenge: string } {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}

/** Begins a sign-in and gives where the service sends the browser. */
export async function begin (app: FastifyInstance, browser: Browser, { returnTo = '/after', challenge = pageSecret().challenge } = {}): Promise<URL> {
  const { statusCode, headers, body } = await browser.visit(app, `/auth/oidc/login?${new URLSearchParams({ returnTo, challenge })}`)
  if (statusCode !== 302) throw new Error(`${statusCode} ${body}`)
  return new URL(String(headers.location))
}

/** Goes through the pages of the issuer as somebody, or says no there; gives the path and query that the browser comes back with. */
export async function atIssuer (browser: Browser, url: URL, name: string | null): Promise<string> {
  let response = await browser.go(url)
  for (let steps = 0; steps < 20; steps++) {
    const location = response.headers.get('location')
    if (location !== null) {
      const next = new URL(location, response.url)
      if (next.href.startsWith(REDIRECT_URI)) return next.pathname + next.search
      response = await browser.go(next)
      continue
    }
    const page = await response.text()
    if (response.status !== 200) throw new Error(`the issuer answered ${response.status}: ${page}`)
    const action = new URL(/<form[^>]* action="([^"]+)"/.exec(page)?.[1] ?? '', response.url)
    if (name === null) response = await browser.go(`${action.href.replace(/\/+$/, '')}/abort`)
    else response = await browser.go(action, page.includes('name="login"') ? { prompt: 'login', login: name, password: 'any' } : { prompt: 'consent' })
  }
  throw new Error('the issuer goes round in circles')
}

/** Signs somebody in: up to the fragment that the page gets. */
export async function signIn (app: FastifyInstance, name: string | null, { browser = new Browser(), ...options }: { browser?: Browser, returnTo?: string, challenge?: string } = {}): Promise<{ location: string, values: Record<string, string> }> {
  const back = await atIssuer(browser, await begin(app, browser, options), name)
  return landing(await browser.visit(app, back))
}

/** Where the browser lands, and what the page is told. */
export function landing ({ statusCode, headers, body }: { statusCode: number, headers: Record<string, unknown>, body: string }): { location: string, values: Record<string, string> } {
  if (statusCode !== 302) throw new Error(`${statusCode} ${body}`)
  const [location = '', fragment] = String(headers.location).split('#')
  return { location, values: Object.fromEntries(new URLSearchParams(fragment)) }
}

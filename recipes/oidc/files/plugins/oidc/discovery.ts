import type { FastifyBaseLogger } from 'fastify'
import { allowInsecureRequests, customFetch, discovery, type Configuration, type ServerMetadata } from 'openid-client'
import { boundedFetch } from './bounded-fetch.ts'
import { failureOf, OidcError } from './failure.ts'

export interface DiscoveryOptions { issuer: string, clientId: string, timeoutMs: number, log: FastifyBaseLogger }

/** Metadata of this age is fetched anew, while it goes on serving. */
const MAX_AGE_MS = 3_600_000
/** Not asked again sooner when it failed: anyone may begin to sign in. */
const COOL_DOWN_MS = 2_000

/** What an issuer publishes of itself, fetched when it is first needed and kept; of one that goes away the last stays good. */
export class Discovery {
  readonly #options: DiscoveryOptions
  #found: Readonly<ServerMetadata> | undefined
  #pending: Promise<Readonly<ServerMetadata>> | undefined
  #askedAt = -Infinity
  #failure: OidcError | undefined

  constructor (options: DiscoveryOptions) {
    this.#options = options
  }

  /** @throws OidcError as long as there never was any */
  async metadata (): Promise<Readonly<ServerMetadata>> {
    const age = performance.now() - this.#askedAt
    if (this.#found !== undefined) {
      if (age > MAX_AGE_MS) this.#fetch().catch(() => {})
      return this.#found
    }
    if (this.#failure !== undefined && this.#pending === undefined && age < COOL_DOWN_MS) throw this.#failure
    return await this.#fetch()
  }

  async #fetch (): Promise<Readonly<ServerMetadata>> {
    this.#pending ??= this.#discover().finally(() => { this.#pending = undefined })
    return await this.#pending
  }

  async #discover (): Promise<Readonly<ServerMetadata>> {
    const { issuer, clientId, timeoutMs, log } = this.#options
    this.#askedAt = performance.now()
    try {
      const configuration = await discovery(new URL(issuer), clientId, undefined, undefined, { timeout: timeoutMs / 1000, execute: transportOf(issuer), [customFetch]: boundedFetch })
      const metadata = configuration.serverMetadata()
      checkMetadata(metadata, issuer)
      this.#failure = undefined
      this.#found = metadata
      return metadata
    } catch (error) {
      const { message, cause } = error as Error
      log.warn({ issuer, reason: message, cause: (cause as Error | undefined)?.message }, 'the OpenID issuer cannot be discovered')
      // Also of one that is not what it is said to be: nobody can sign in, and the operator can change that.
      this.#failure = new OidcError('unavailable', 'The issuer cannot be had.', failureOf(error))
      throw this.#failure
    }
  }
}

/** What is taken of the metadata as it is; OpenID Connect Discovery, 3. @throws Error that names what can't be used */
function checkMetadata (metadata: ServerMetadata, issuer: string): void {
  const protocols = issuer.startsWith('http:') ? ['http:', 'https:'] : ['https:']
  for (const name of ['authorization_endpoint', 'token_endpoint', 'jwks_uri', 'userinfo_endpoint'] as const) {
    const value: unknown = metadata[name]
    if (name === 'userinfo_endpoint' && value === undefined) continue
    if (typeof value !== 'string' || !URL.canParse(value) || !protocols.includes(new URL(value).protocol)) throw new Error(`its ${name} is no URL that can be used`)
  }
  const methods: unknown = metadata.token_endpoint_auth_methods_supported
  if (methods !== undefined && !Array.isArray(methods)) throw new Error('its token_endpoint_auth_methods_supported is no list')
}

/** Without TLS only where the setting was let through: on this machine, outside production. */
export function transportOf (issuer: string): ((configuration: Configuration) => void)[] {
  return issuer.startsWith('http:') ? [allowInsecureRequests] : []
}

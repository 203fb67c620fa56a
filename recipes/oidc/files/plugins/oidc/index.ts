import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import {
  authorizationCodeGrant, buildAuthorizationUrl, calculatePKCECodeChallenge, ClientSecretBasic, ClientSecretPost, Configuration, customFetch,
  enableNonRepudiationChecks, fetchUserInfo, None, type ClientAuth, type ServerMetadata
} from 'openid-client'
import { boundedFetch } from './bounded-fetch.ts'
import { Discovery, transportOf } from './discovery.ts'
import { failureOf, OidcError } from './failure.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Sign-in with an OpenID issuer. Not there (`hasDecorator`) without OIDC_ISSUER. */
    oidc: Oidc
  }
}

/** What the two ends of a sign-in have in common; each is random, and of this sign-in alone. */
export interface Secrets { state: string, nonce: string, codeVerifier: string }

/** Whom the issuer says that it is. */
export interface Profile { issuer: string, subject: string, email: string | undefined, isEmailVerified: boolean, name: string | undefined }

export interface Oidc {
  /** Where the issuer sends people back to. */
  redirectUri: URL
  /**
   * Where to send somebody who wants to sign in.
   * @throws OidcError
   */
  authorizationUrl: (secrets: Secrets) => Promise<URL>
  /**
   * Exchanges the code with which somebody came back, and checks who it is: issuer, signature, audience, nonce.
   * @param search the query of the URL
   * @throws OidcError
   */
  redeem: (search: string, secrets: Secrets, signal: AbortSignal) => Promise<Profile>
}

/**
 * OpenID Connect: the authorization code flow with PKCE, by openid-client. The issuer is asked for what it is when it is first
 * needed, and for its keys at each sign-in: one that rotates them, or withdraws them, is believed at once.
 */
async function oidc (fastify: FastifyInstance) {
  const { config, log } = fastify
  const { OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId, OIDC_CLIENT_SECRET: secret, OIDC_REDIRECT_URI: redirect, OIDC_SCOPES: scope } = config
  if (issuer === undefined || clientId === undefined || redirect === undefined) return
  const timeoutMs = config.HTTP_TIMEOUT_MS
  const redirectUri = new URL(redirect)
  if (!redirectUri.pathname.endsWith('/auth/oidc/callback') || redirectUri.search !== '' || redirectUri.hash !== '') throw new Error('OIDC_REDIRECT_URI: expected a URL that ends in /auth/oidc/callback, without a query or a fragment')
  const found = new Discovery({ issuer, clientId, timeoutMs, log })
  // Not awaited: an issuer that is away does not hold the start.
  fastify.addHook('onReady', async () => { found.metadata().catch(() => {}) })

  async function configuration (signal?: AbortSignal): Promise<Configuration> {
    const metadata = await found.metadata()
    // A new one each time: keys are kept in it.
    const created = new Configuration(metadata, clientId ?? '', undefined, authentication(metadata, secret))
    for (const extend of [enableNonRepudiationChecks, ...transportOf(metadata.issuer)]) extend(created)
    created.timeout = timeoutMs / 1000
    created[customFetch] = async (url, options) => await boundedFetch(url, options, signal)
    return created
  }

  fastify.decorate('oidc', {
    redirectUri,
    async authorizationUrl ({ state, nonce, codeVerifier }) {
      return buildAuthorizationUrl(await configuration(), {
        redirect_uri: redirect,
        scope,
        state,
        nonce,
        code_challenge: await calculatePKCECodeChallenge(codeVerifier),
        code_challenge_method: 'S256'
      })
    },
    async redeem (search, { state, nonce, codeVerifier }, signal) {
      try {
        const settings = await configuration(signal)
        const url = new URL(redirectUri)
        url.search = search
        const tokens = await authorizationCodeGrant(settings, url, { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: codeVerifier, idTokenExpected: true })
        const claims = tokens.claims()
        if (claims === undefined) throw new OidcError('failed', 'The issuer sent no ID token.')
        if (claims.email !== undefined || settings.serverMetadata().userinfo_endpoint === undefined) return profileOf(claims)
        const info = await fetchUserInfo(settings, tokens.access_token, claims.sub)
        // Whether an address is verified is for the answer to say that has it.
        return profileOf({ ...info, ...claims, email_verified: info.email_verified })
      } catch (error) {
        throw failureOf(error)
      }
    }
  })
}

/** As the issuer takes it; without a word of it, as the standard has it (OpenID Connect Discovery, 3). */
function authentication ({ token_endpoint_auth_methods_supported: methods = ['client_secret_basic'] }: ServerMetadata, secret: string | undefined): ClientAuth {
  if (secret === undefined) return None()
  return methods.includes('client_secret_basic') ? ClientSecretBasic(secret) : ClientSecretPost(secret)
}

interface Claims { iss: string, sub: string, email?: unknown, email_verified?: unknown, name?: unknown, preferred_username?: unknown }

function profileOf ({ iss, sub, email, email_verified: verified, name, preferred_username: username }: Claims): Profile {
  return {
    issuer: iss,
    subject: sub,
    email: textOf(email),
    // Some say it as a text.
    isEmailVerified: verified === true || verified === 'true',
    name: textOf(name) ?? textOf(username)
  }
}

function textOf (claim: unknown): string | undefined {
  return typeof claim === 'string' && claim !== '' ? claim : undefined
}

export default fp(oidc, { name: 'oidc', dependencies: ['config'] })

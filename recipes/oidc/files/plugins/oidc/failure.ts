import { AuthorizationResponseError, ResponseBodyError, WWWAuthenticateChallengeError } from 'openid-client'

/**
 * Why nobody was signed in: the person or the issuer said no, the answer is not one that can be believed, or the issuer
 * can't be had (or says so itself).
 */
export type Reason = 'denied' | 'failed' | 'unavailable'

export class OidcError extends Error {
  override name = 'OidcError'
  readonly reason: Reason

  constructor (reason: Reason, message: string, cause?: unknown) {
    super(message, { cause })
    this.reason = reason
  }
}

const AWAY = new Set(['server_error', 'temporarily_unavailable'])
const UNREACHED = new Set(['OAUTH_TIMEOUT', 'OAUTH_ABORT'])

/** What an error of openid-client means. */
export function failureOf (error: unknown): OidcError {
  if (error instanceof OidcError) return error
  const { message, code = '', cause } = error as Error & { code?: string }
  // What our fetch has thrown.
  if (cause instanceof OidcError) return cause
  if (error instanceof AuthorizationResponseError) {
    const reason = error.error === 'access_denied' ? 'denied' : AWAY.has(error.error) ? 'unavailable' : 'failed'
    return new OidcError(reason, `The issuer answered ${error.error}`, error)
  }
  // Of this service: its secret, its redirect URI, or a code that is not good.
  if (error instanceof ResponseBodyError) return new OidcError(AWAY.has(error.error) ? 'unavailable' : 'failed', `The issuer answered ${error.error}`, error)
  if (error instanceof WWWAuthenticateChallengeError) return new OidcError('failed', `The issuer answered ${error.cause[0]?.parameters.error ?? error.status}`, error)
  const isAway = UNREACHED.has(code) || isUnreached(error) || isUnreached(cause) || (cause instanceof Response && cause.status >= 500)
  return new OidcError(isAway ? 'unavailable' : 'failed', message, error)
}

/** fetch says no more of a connection that failed, or ended within an answer, than this. */
function isUnreached (error: unknown): boolean {
  return (error instanceof TypeError && /^(?:fetch failed|terminated)$/.test(error.message)) || (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError'))
}

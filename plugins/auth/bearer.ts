import type { IncomingMessage } from 'node:http'

/** Longer than any token of ours or of a sane issuer. */
const MAX_LENGTH = 8 * 1024
const NAME = 'authorization'

/** Why a request is not let in: 401, or 503 when that can't be known now. `bearerError` is RFC 6750's code; none when nothing was sent. */
export class Refusal extends Error {
  readonly statusCode: number
  readonly bearerError: string | undefined
  readonly retryAfter: number | undefined

  constructor (message: string, { statusCode = 401, bearerError, retryAfter }: { statusCode?: number, bearerError?: string, retryAfter?: number } = {}) {
    super(message)
    this.statusCode = statusCode
    this.bearerError = bearerError
    this.retryAfter = retryAfter
  }
}

export function missingToken (): Refusal {
  return new Refusal('Send an access token: Authorization: Bearer <token>.')
}

export function invalidToken (message: string): Refusal {
  return new Refusal(message, { bearerError: 'invalid_token' })
}

/**
 * The value of the one Authorization header.
 * @throws Refusal when there is none, or more than one: Node keeps the first, a proxy may have looked at another
 */
export function authorizationOf ({ headers, rawHeaders }: IncomingMessage): string {
  const value = headers.authorization
  if (value === undefined || value === '') throw missingToken()
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === NAME.length && name.toLowerCase() === NAME) count++
  }
  if (count > 1) throw new Refusal('Send one Authorization header.', { bearerError: 'invalid_request' })
  return value
}

/** The token of an Authorization header. @throws Refusal when it is no bearer token */
export function bearerToken (authorization: string): string {
  if (authorization.length > MAX_LENGTH) throw invalidToken('The access token is too long.')
  const token = /^Bearer +([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(authorization)?.[1]
  if (token === undefined) throw new Refusal('Send the access token as Authorization: Bearer <token>.', { bearerError: errorOf(authorization) })
  return token
}

/** RFC 6750, 3.1: who used another scheme has sent no bearer token at all, and gets the bare challenge. */
function errorOf (authorization: string): string | undefined {
  if (!/^Bearer(?: |$)/i.test(authorization)) return undefined
  return /^Bearer +\S+$/i.test(authorization) ? 'invalid_token' : 'invalid_request'
}

import { createDecoder, createVerifier } from 'fast-jwt'
import { bearerToken, invalidToken } from './bearer.ts'
import type { PublicKey } from './keys.ts'
import { Recent } from './recent.ts'

/** What a signed-in request may rely on. */
export interface AuthenticatedUser {
  id: string
  scopes: ReadonlySet<string>
  /** The session that the token comes from (the claim `sid`), where its issuer says. */
  sessionId?: string
  /** When the token expires, in milliseconds of Unix time: a connection that outlives it must end. */
  expiresAt: number
}

/** Where the keys come from: a key at once when it is at hand, undefined when there is none. */
export interface KeySource { find: (kid: string) => PublicKey | undefined | Promise<PublicKey | undefined> }

/** Who must have issued a token, and for whom. */
export interface Expected { issuer: string, audience: string }

/** Reads the Authorization header of a request. Throws or rejects with a Refusal. */
export type TokenReader = ((authorization: string) => AuthenticatedUser | Promise<AuthenticatedUser>) & {
  /** Forgets the tokens read before: their keys may not be valid any more. */
  forget: () => void
}

interface Claims { sub: unknown, scope: unknown, iat: number, exp: number, sid?: unknown }
interface Known { user: AuthenticatedUser, until: number }
type Verify = (token: string) => Claims

export const TOKEN_TYPE = 'at+jwt'
const CLOCK_SKEW_MS = 5_000
const REMEMBERED_TOKENS = 2_000
/** For as long a token is taken for what it was when its signature was checked, if it doesn't expire before. */
const REMEMBERED_MS = 60_000
const MAX_KID_LENGTH = 256
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const decode = createDecoder({ complete: true }) as unknown as (token: string) => { header: { kid?: unknown } }

/**
 * Reads access tokens (RFC 9068) with the keys of a source. A token that was read a
 * moment ago is known without looking at its signature again, and at once: only valid
 * ones are remembered, so that strangers can't push them out.
 */
export function tokenReader (keys: KeySource, expected: Expected): TokenReader {
  const known = new Recent<Known>(REMEMBERED_TOKENS)
  const verifiers = new WeakMap<PublicKey, Verify>()

  function read (authorization: string): AuthenticatedUser | Promise<AuthenticatedUser> {
    const before = known.get(authorization)
    if (before !== undefined && before.until > Date.now()) return before.user
    const token = bearerToken(authorization)
    const key = keys.find(keyId(token))
    return key instanceof Promise ? key.then(key => check(authorization, token, key)) : check(authorization, token, key)
  }

  function check (authorization: string, token: string, key: PublicKey | undefined): AuthenticatedUser {
    if (key === undefined) throw invalidToken('The access token was signed with an unknown key.')
    const claims = verified(token, verifierOf(key))
    const user = userOf(claims)
    known.set(authorization, { user, until: Math.min(claims.exp * 1000, Date.now() + REMEMBERED_MS) })
    return user
  }

  function verifierOf (key: PublicKey): Verify {
    const verify = verifiers.get(key) ?? createVerifier({
      key: key.publicPem,
      // A key is good for one algorithm, whatever the token says (RFC 8725, 3.1).
      algorithms: [key.algorithm],
      allowedIss: expected.issuer,
      allowedAud: expected.audience,
      checkTyp: TOKEN_TYPE,
      requiredClaims: ['iss', 'aud', 'sub', 'exp', 'iat', 'jti', 'scope'],
      clockTolerance: CLOCK_SKEW_MS
    }) as Verify
    verifiers.set(key, verify)
    return verify
  }

  return Object.assign(read, { forget: () => known.clear() })
}

function keyId (token: string): string {
  let kid
  try {
    ({ kid } = decode(token).header)
  } catch {
    throw invalidToken('The access token is malformed.')
  }
  if (typeof kid !== 'string' || kid.length > MAX_KID_LENGTH) throw invalidToken('The access token does not say which key signed it.')
  return kid
}

function verified (token: string, verify: Verify): Claims {
  try {
    return verify(token)
  } catch (error) {
    throw invalidToken(`The access token is not valid: ${(error as Error).message}`)
  }
}

function userOf ({ sub, scope, iat, exp, sid }: Claims): AuthenticatedUser {
  if (typeof sub !== 'string' || !UUID.test(sub)) throw invalidToken('The access token names no user of this service.')
  if (typeof scope !== 'string' || !Number.isFinite(exp)) throw invalidToken('The access token has claims of a wrong kind.')
  if (!(iat * 1000 <= Date.now() + CLOCK_SKEW_MS)) throw invalidToken('The access token was issued in the future.')
  return { id: sub, scopes: new Set(scope.split(' ')), expiresAt: exp * 1000, ...typeof sid === 'string' ? { sessionId: sid } : {} }
}

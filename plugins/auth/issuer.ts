import { randomUUID } from 'node:crypto'
import { createSigner } from 'fast-jwt'
import type { Jwk, SigningKey } from './keys.ts'
import { TOKEN_TYPE, type Expected } from './tokens.ts'

export interface AccessTokens {
  /** Signs an access token (RFC 9068). `expiresIn` is seconds. */
  issue: (user: { id: string, scopes: readonly string[], sessionId?: string }) => { accessToken: string, expiresIn: number }
  /** The public keys, for others to verify with (RFC 7517). */
  jwks: { keys: Jwk[] }
}

/** Issues tokens that are good for `ttl` milliseconds. The first key signs. */
export function issuer (keys: SigningKey[], { issuer, audience }: Expected, ttl: number): AccessTokens {
  const [signing] = keys
  if (!signing) throw new Error('JWT_PRIVATE_KEY holds no key')
  const sign = createSigner({
    key: signing.privatePem,
    algorithm: signing.algorithm,
    kid: signing.kid,
    header: { alg: signing.algorithm, typ: TOKEN_TYPE },
    iss: issuer,
    aud: audience,
    expiresIn: ttl
  })
  return {
    issue: ({ id, scopes, sessionId }) => ({
      // The client (RFC 9068, 2.2): none registers here, so it is the service itself that signed the user in.
      accessToken: sign({ sub: id, client_id: audience, scope: scopes.join(' '), jti: randomUUID(), ...sessionId === undefined ? {} : { sid: sessionId } }),
      expiresIn: Math.floor(ttl / 1000)
    }),
    jwks: { keys: keys.map(key => key.jwk) }
  }
}

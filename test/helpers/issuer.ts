import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createSigner } from 'fast-jwt'
import type { Test } from 'tap'

type Algorithm = 'EdDSA' | 'ES256' | 'RS256' | 'PS256'

/** A key of the issuer: its public half as published, and tokens signed with it. */
export interface IssuerKey { jwk: Record<string, unknown>, sign: (claims?: object, header?: object) => string }

/** An issuer of tokens on this machine. `answer` is what it says when it is asked for its keys. */
export interface Issuer { url: string, requests: number, keys: object[], answer: (response: ServerResponse) => void, close: () => Promise<void> }

export const foreignUser = '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'

/** Makes a key. Tokens are for `foreignUser` and good for a minute unless the claims say otherwise. */
export function issuerKey (kid: string, algorithm: Algorithm = 'EdDSA', rsaBits = 2048): IssuerKey {
  const { publicKey, privateKey } = pair(algorithm, rsaBits)
  const key = String(privateKey.export({ format: 'pem', type: 'pkcs8' }))
  const claims = { iss: 'https://issuer.example', aud: 'api', sub: foreignUser, scope: 'users:read', jti: 'j' }
  return {
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' },
    sign: (more = {}, header = {}) => createSigner({ key, algorithm, header: { alg: algorithm, typ: 'at+jwt', kid, ...header }, expiresIn: 60_000 })({ ...claims, ...more })
  }
}

/** Starts an issuer that publishes the keys. Ends with the test. */
export async function startIssuer (t: Test, ...keys: IssuerKey[]): Promise<Issuer> {
  const server = createServer((_request, response) => {
    issuer.requests++
    issuer.answer(response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const issuer: Issuer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    requests: 0,
    keys: keys.map(({ jwk }) => jwk),
    answer: response => { response.end(JSON.stringify({ keys: issuer.keys })) },
    close: () => new Promise(resolve => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }
  t.teardown(() => issuer.close())
  return issuer
}

function pair (algorithm: Algorithm, modulusLength: number): { publicKey: KeyObject, privateKey: KeyObject } {
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519')
  if (algorithm === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return generateKeyPairSync('rsa', { modulusLength })
}

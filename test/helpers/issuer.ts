import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
  return await publish(t, createServer(), 'http', keys)
}

const OPENSSL = '/usr/bin/openssl'
export const withOpenssl = { skip: !existsSync(OPENSSL) && 'openssl is not installed' }

/** The same by https, as production wants it, and what a service has to be started with to take its tokens. */
export async function startSecureIssuer (t: Test, ...keys: IssuerKey[]): Promise<{ settings: Record<string, string> }> {
  const folder = mkdtempSync(join(tmpdir(), 'keel-issuer-'))
  // A service may run as another user.
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  execFileSync(OPENSSL, ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=issuer', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const { url } = await publish(t, createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) }), 'https', keys)
  return { settings: { JWT_JWKS_URL: url, JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'api', NODE_EXTRA_CA_CERTS: cert } }
}

async function publish (t: Test, server: Server, scheme: string, keys: IssuerKey[]): Promise<Issuer> {
  server.on('request', (_request, response: ServerResponse) => {
    issuer.requests++
    issuer.answer(response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const issuer: Issuer = {
    url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
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

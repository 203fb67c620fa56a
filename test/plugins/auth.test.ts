import { createPublicKey, generateKeyPairSync, randomUUID, sign as signBytes, verify } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { createSigner } from 'fast-jwt'
import t from 'tap'
import { developmentKey, loadKeys } from '../../plugins/auth/keys.ts'
import { bearer, buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const pem = (type: 'ed25519' | 'ec') => {
  const { privateKey } = type === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519')
  return String(privateKey.export({ format: 'pem', type: 'pkcs8' }))
}
const [first, second, ecKey] = [pem('ed25519'), pem('ed25519'), pem('ec')]
const user = { id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', scopes: ['users:read'] }

function things (app: FastifyInstance): void {
  app.get('/things', { config: { scopes: ['users:read'] }, schema: { hide: true } }, async request => ({ id: request.user.id, scopes: [...request.user.scopes] }))
  app.post('/things', { config: { scopes: ['users:read', 'products:write'] }, schema: { hide: true } }, async () => ({}))
  app.get('/any', { config: { scopes: [] }, schema: { hide: true } }, async () => ({}))
}

t.test('a valid token with the scope is let through', async (t) => {
  const app = await buildApp(t, {}, things)
  const { accessToken, expiresIn } = app.accessTokens.issue(user)
  t.equal(expiresIn, 900)
  t.same((await app.inject({ url: '/things', headers: bearer(accessToken) })).json(), user)
  t.equal((await app.inject({ url: '/any', headers: bearer(accessToken) })).statusCode, 200)
})

t.test('an access token is what RFC 9068 says, and verifies with the public key', async (t) => {
  for (const key of [first, ecKey]) {
    const app = await buildApp(t, { JWT_PRIVATE_KEY: key, JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'api' })
    const token = app.accessTokens.issue(user).accessToken
    const [header, payload, signature] = token.split('.')
    const decode = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString())
    const [signing] = loadKeys(key)
    t.match(decode(header), { alg: signing?.algorithm, typ: 'at+jwt', kid: signing?.kid })
    t.match(decode(payload), { iss: 'https://issuer.example', aud: 'api', client_id: 'api', sub: user.id, scope: 'users:read', jti: /.{36}/, iat: Number, exp: Number })
    const publicKey = createPublicKey(signing?.publicPem ?? '')
    const digest = signing?.algorithm === 'ES256' ? 'sha256' : null
    t.ok(verify(digest, Buffer.from(`${header}.${payload}`), { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature ?? '', 'base64url')))
  }
})

t.test('without a token: 401 and a plain challenge', async (t) => {
  const app = await buildApp(t, {}, things)
  const response = await app.inject('/things')
  t.equal(response.statusCode, 401)
  t.equal(response.headers['www-authenticate'], 'Bearer')
  t.equal(response.json().code, 'UNAUTHORIZED')
})

t.test('another scheme is as no token: RFC 6750 has no error for it', async (t) => {
  const app = await buildApp(t, {}, things)
  for (const authorization of ['Basic dXNlcjpwYXNz', 'Digest username="a"', 'Bearerx y', 'x']) {
    const response = await app.inject({ url: '/things', headers: { authorization } })
    t.equal(response.statusCode, 401, authorization)
    t.equal(response.headers['www-authenticate'], 'Bearer', authorization)
    t.equal(response.json().code, 'UNAUTHORIZED', authorization)
  }
})

t.test('without the scope: 403 that names it', async (t) => {
  const app = await buildApp(t, {}, things)
  const response = await app.inject({ method: 'POST', url: '/things', headers: bearer(app.accessTokens.issue(user).accessToken) })
  t.equal(response.statusCode, 403)
  t.equal(response.headers['www-authenticate'], 'Bearer error="insufficient_scope", scope="users:read products:write"')
  t.equal(response.json().code, 'FORBIDDEN')
})

t.test('the guard comes before the body: who may not call learns nothing of the schema', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject({ method: 'POST', url: '/products', payload: 'x', headers: { 'content-type': 'text/plain' } })
  t.equal(response.statusCode, 401)
})

const claims = { iss: 'keel', aud: 'keel', sub: user.id, scope: 'users:read', jti: 'j' }
const [key] = loadKeys(first)
const seconds = (ahead: number) => Math.floor(Date.now() / 1000) + ahead
const sign = (payload: object, options: object = {}) =>
  createSigner({ key: first, algorithm: 'EdDSA', kid: key?.kid, header: { typ: 'at+jwt' }, expiresIn: 60_000, ...options } as never)(payload as never) as unknown as string
/** What no signer would sign. */
const signAsIs = (payload: object) => {
  const input = [{ alg: 'EdDSA', typ: 'at+jwt', kid: key?.kid }, payload].map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${input}.${signBytes(null, Buffer.from(input), first).toString('base64url')}`
}
const valid = sign(claims)
const badTokens: [string, string][] = [
  ['no token at all', 'Bearer'],
  ['two tokens', `Bearer ${valid} ${valid}`],
  ['garbage', 'Bearer garbage'],
  ['a truncated token', `Bearer ${valid.slice(0, -10)}`],
  ['another issuer', `Bearer ${sign({ ...claims, iss: 'evil' })}`],
  ['another audience', `Bearer ${sign({ ...claims, aud: 'evil' })}`],
  ['another type', `Bearer ${sign(claims, { header: { typ: 'JWT' } })}`],
  ['no kid', `Bearer ${sign(claims, { kid: undefined })}`],
  ['an unknown kid', `Bearer ${sign(claims, { kid: '../../etc/passwd' })}`],
  ['a stranger\'s key under a known kid', `Bearer ${sign(claims, { key: second })}`],
  ['an expired token', `Bearer ${sign({ ...claims, iat: 1000, exp: 2000 }, { expiresIn: undefined })}`],
  ['a token for later', `Bearer ${sign({ ...claims, nbf: seconds(600) })}`],
  ['a token issued in the future', `Bearer ${sign({ ...claims, iat: seconds(600) })}`],
  ['a time that is no number', `Bearer ${signAsIs({ ...claims, exp: seconds(60), iat: 'now' })}`],
  ['an expiry that is no number', `Bearer ${signAsIs({ ...claims, iat: seconds(0), exp: 'never' })}`],
  ['claims that are no object', `Bearer ${signAsIs([])}`],
  ['a token that expired longer ago than clocks differ', `Bearer ${sign({ ...claims, iat: seconds(-600), exp: seconds(-10) }, { expiresIn: undefined })}`],
  ['100 KB of token', `Bearer ${sign({ ...claims, filler: 'x'.repeat(100_000) })}`],
  ['a scope that is no text', `Bearer ${sign({ ...claims, scope: ['users:read'] })}`],
  ['a kid of SQL', `Bearer ${sign(claims, { kid: "' OR '1'='1" })}`],
  ['a kid of a prototype', `Bearer ${sign(claims, { kid: '__proto__' })}`],
  ['a kid of 1000 characters', `Bearer ${sign(claims, { kid: 'k'.repeat(1000) })}`],
  ['a key that the token brings', `Bearer ${sign(claims, { key: second, header: { typ: 'at+jwt', jwk: createPublicKey(second).export({ format: 'jwk' }), jku: 'https://evil.example' } })}`],
  ['a critical extension', `Bearer ${sign(claims, { header: { typ: 'at+jwt', crit: ['exp2'], exp2: 1 } })}`],
  ['another user under the signature', `Bearer ${valid.split('.')[0]}.${Buffer.from(JSON.stringify({ ...claims, sub: randomUUID(), exp: seconds(60), iat: seconds(0) })).toString('base64url')}.${valid.split('.')[2]}`],
  ['padding behind the signature', `Bearer ${valid}=`],
  ['no expiry', `Bearer ${sign(claims, { expiresIn: undefined })}`],
  ['no issuer', `Bearer ${sign({ ...claims, iss: undefined })}`],
  ['no audience', `Bearer ${sign({ ...claims, aud: undefined })}`],
  ['a subject that is no user id', `Bearer ${sign({ ...claims, sub: 'a\0b' })}`],
  ['no subject', `Bearer ${sign({ ...claims, sub: undefined })}`],
  ['alg none', `Bearer ${Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt', kid: key?.kid })).toString('base64url')}.${valid.split('.')[1]}.`],
  ['HS256 signed with the public key', `Bearer ${createSigner({ key: key?.publicPem.replace('PUBLIC', 'SECRET'), algorithm: 'HS256', kid: key?.kid, header: { typ: 'at+jwt' } } as never)(claims as never)}`]
]
const guarded = await buildApp(t, { JWT_PRIVATE_KEY: first }, things)
for (const [name, authorization] of badTokens) {
  t.test(`${name}: 401 with the error of RFC 6750`, async (t) => {
    t.equal((await guarded.inject({ url: '/things', headers: bearer(valid) })).statusCode, 200, 'the valid twin works')
    const response = await guarded.inject({ url: '/things', headers: { authorization } })
    t.equal(response.statusCode, 401)
    t.match(response.headers['www-authenticate'], /^Bearer error="invalid_(token|request)"/)
    t.equal(response.json().code, 'UNAUTHORIZED')
  })
}

t.test('clocks may differ a little', async (t) => {
  for (const token of [sign({ ...claims, iat: seconds(3), nbf: seconds(3) }), sign({ ...claims, iat: seconds(-60), exp: seconds(-2) }, { expiresIn: undefined })]) {
    t.equal((await guarded.inject({ url: '/things', headers: bearer(token) })).statusCode, 200)
  }
})

t.test('a token that was good a moment ago is refused once it has expired', async (t) => {
  const token = sign({ ...claims, exp: seconds(-4) }, { expiresIn: undefined })
  t.equal((await guarded.inject({ url: '/things', headers: bearer(token) })).statusCode, 200)
  await sleep(2_200)
  t.equal((await guarded.inject({ url: '/things', headers: bearer(token) })).statusCode, 401)
})

t.test('on the wire: two Authorization headers are 401, whatever their spelling, and 100 KB are 431', async (t) => {
  const app = await buildApp(t, { JWT_PRIVATE_KEY: first }, things)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const send = (headers: string) => new Promise<string>((resolve, reject) => {
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1', () => socket.write(`GET /things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`))
    let answer = ''
    socket.on('data', chunk => { answer += String(chunk) })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
  t.match(await send(`Authorization: Bearer ${valid}\r\n`), /^HTTP\/1.1 200 /)
  for (const second of [`Authorization: Bearer ${valid}`, 'AUTHORIZATION: Basic dXNlcjpwYXNz', 'authorization:']) {
    t.match(await send(`Authorization: Bearer ${valid}\r\n${second}\r\n`), /^HTTP\/1.1 401 [^]*www-authenticate: Bearer error="invalid_request"/i)
  }
  t.match(await send(`Authorization: Bearer ${'x'.repeat(100_000)}\r\n`), /^HTTP\/1.1 431 /)
})

t.test('of several keys the first signs, and all verify', async (t) => {
  const app = await buildApp(t, { JWT_PRIVATE_KEY: first + ecKey }, things)
  const keys = loadKeys(first + ecKey)
  t.equal(JSON.parse(Buffer.from(app.accessTokens.issue(user).accessToken.split('.')[0] ?? '', 'base64url').toString()).kid, keys[0]?.kid)
  const ofTheSecond = sign(claims, { key: ecKey, algorithm: 'ES256', kid: keys[1]?.kid })
  t.equal((await app.inject({ url: '/things', headers: bearer(ofTheSecond) })).statusCode, 200)
})

t.test('a key is replaced in three steps, and at each the tokens of the step before and after are good', async (t) => {
  // While a step is rolled out, instances of both sides serve the same clients.
  const steps = await Promise.all([first, first + second, second + first, second].map(keys => buildApp(t, { JWT_PRIVATE_KEY: keys }, things)))
  for (const [index, app] of steps.entries()) {
    const { accessToken } = app.accessTokens.issue(user)
    for (const neighbour of [steps[index - 1], steps[index + 1]]) {
      if (neighbour) t.equal((await neighbour.inject({ url: '/things', headers: bearer(accessToken) })).statusCode, 200)
    }
  }
  const [before,,, after] = steps
  t.equal((await after!.inject({ url: '/things', headers: bearer(before!.accessTokens.issue(user).accessToken) })).statusCode, 401)
})

t.test('a route that says nothing of who may call stops the start', async (t) => {
  await t.rejects(buildApp(t, {}, app => {
    app.get('/forgotten', { schema: { hide: true } }, async () => ({}))
  }), /config needs public or scopes for GET \/forgotten/)
})

t.test('a scope that no role has stops the start with the route\'s name', async (t) => {
  const misspelt = (app: FastifyInstance) => void app.get('/misspelt', { config: { scopes: ['users:read', 'users:raed'] }, schema: { hide: true } }, async () => ({}))
  await t.rejects(buildApp(t, {}, misspelt), /no role has the scope users:raed \(GET \/misspelt\)/)
})

t.test('the OpenAPI document says the same as the guard', async (t) => {
  const app = await buildApp(t)
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, { security: object[], responses: object }>> }
  t.same(paths['/products']?.get?.security, [])
  t.same(paths['/products']?.post?.security, [{ accessToken: ['products:write'] }])
  t.match(Object.keys(paths['/products']?.post?.responses ?? {}), ['201', '400', '401', '403'])
})

t.test('the development key is made once, for its owner only', async (t) => {
  const folder = t.testdir()
  const made = developmentKey(join(folder, 'data'))
  t.equal(developmentKey(join(folder, 'data')), made)
  t.equal(readFileSync(join(folder, 'data/jwt-key.pem'), 'utf8'), made)
  t.equal(statSync(join(folder, 'data/jwt-key.pem')).mode & 0o777, 0o600)
})

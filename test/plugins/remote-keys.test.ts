import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import t, { type Test } from 'tap'
import { readJwks } from '../../plugins/auth/jwks.ts'
import { remoteKeys } from '../../plugins/auth/remote-keys.ts'
import { issuerKey, startIssuer, type Issuer } from '../helpers/issuer.ts'

const [one, two] = [issuerKey('one'), issuerKey('two')]

/** The keys of an issuer, on a clock that the test moves. */
function keysOf (t: Test, { url }: Issuer) {
  const clock = { at: 1_000_000, changes: 0, warnings: [] as string[] }
  const log = { warn: ({ err }: { err?: Error }, message: string) => clock.warnings.push(err?.message ?? message) } as unknown as FastifyBaseLogger
  const keys = remoteKeys(url, { log, onChange: () => { clock.changes++ }, now: () => clock.at })
  t.teardown(() => keys.close())
  return { keys, clock }
}

async function refusal (found: unknown): Promise<unknown> {
  return await Promise.resolve(found).then(() => undefined, (error: unknown) => error)
}

t.test('a key at hand is given at once', async (t) => {
  const { keys } = keysOf(t, await startIssuer(t, one))
  t.ok(await keys.load())
  t.match(keys.find('one'), { kid: 'one', algorithm: 'EdDSA', publicPem: /BEGIN PUBLIC KEY/ })
})

t.test('a new key is found at its first use, but the issuer is asked only so often', async (t) => {
  const issuer = await startIssuer(t, one)
  const { keys, clock } = keysOf(t, issuer)
  await keys.load()
  issuer.keys.push(two.jwk)
  t.equal(await keys.find('two'), undefined, 'just asked')
  clock.at += 30_000
  t.match(await keys.find('two'), { kid: 'two' })
  for (let count = 0; count < 50; count++) t.equal(await keys.find(`invented-${count}`), undefined)
  t.equal(issuer.requests, 2)
})

t.test('the cool-down counts also while the issuer is away', async (t) => {
  const issuer = await startIssuer(t, one)
  const { keys, clock } = keysOf(t, issuer)
  await keys.load()
  issuer.answer = response => response.destroy()
  clock.at += 30_000
  await Promise.all(Array.from({ length: 20 }, (_, count) => keys.find(`invented-${count}`)))
  t.equal(await keys.find('invented'), undefined)
  t.equal(issuer.requests, 2)
  t.match(keys.find('one'), { kid: 'one' }, 'the last keys stay good')
})

t.test('keys of age are fetched anew while they serve; one that was withdrawn goes', async (t) => {
  const issuer = await startIssuer(t, one, two)
  const { keys, clock } = keysOf(t, issuer)
  await keys.load()
  issuer.keys = [two.jwk]
  clock.at += 600_001
  t.match(keys.find('one'), { kid: 'one' }, 'nobody waits')
  while (clock.changes < 2) await sleep(5)
  t.equal(await keys.find('one'), undefined)
  t.match(keys.find('two'), { kid: 'two' })
})

t.test('they outlive any outage', async (t) => {
  const issuer = await startIssuer(t, one)
  const { keys, clock } = keysOf(t, issuer)
  await keys.load()
  await issuer.close()
  for (let days = 0; days < 3; days++) {
    clock.at += 86_400_000
    t.ok(await keys.load())
    while (clock.warnings.length <= days) await sleep(5)
    t.match(keys.find('one'), { kid: 'one' })
  }
})

t.test('an issuer that withdraws all its keys is believed', async (t) => {
  const issuer = await startIssuer(t, one)
  const { keys, clock } = keysOf(t, issuer)
  await keys.load()
  issuer.keys = []
  clock.at += 30_000
  t.match(await refusal(keys.find('two')), { statusCode: 503 })
})

t.test('without keys: 503, and the issuer is asked again soon', async (t) => {
  const issuer = await startIssuer(t, one)
  const { answer } = issuer
  issuer.answer = response => response.writeHead(503).end()
  const { keys, clock } = keysOf(t, issuer)
  t.match(await refusal(keys.find('one')), { statusCode: 503, retryAfter: 3 })
  issuer.answer = answer
  t.match(await refusal(keys.find('one')), { statusCode: 503 })
  clock.at += 3_000
  t.match(await keys.find('one'), { kid: 'one' })
})

for (const [name, answer] of Object.entries<Issuer['answer']>({
  'no JSON': response => response.end('<html>'),
  'no key set': response => response.end('{"keys":7}'),
  'a redirect': response => response.writeHead(302, { location: '/elsewhere' }).end(),
  'an answer without end': response => {
    const write = () => { while (!response.destroyed && response.write(Buffer.alloc(65_536, 32))); }
    response.on('drain', write)
    write()
  }
})) {
  t.test(`an issuer that sends ${name} has no keys`, { timeout: 30_000 }, async (t) => {
    const issuer = await startIssuer(t, one)
    issuer.answer = answer
    const { keys, clock } = keysOf(t, issuer)
    t.notOk(await keys.load())
    t.equal(clock.warnings.length, 1)
  })
}

t.test('an issuer that does not answer is given up after a while', { timeout: 30_000 }, async (t) => {
  const issuer = await startIssuer(t, one)
  issuer.answer = () => {}
  const { keys, clock } = keysOf(t, issuer)
  const began = Date.now()
  t.notOk(await keys.load())
  t.ok(Date.now() - began < 10_000)
  t.match(clock.warnings, [/timeout/])
})

t.test('of a key set, only what may verify is read', async (t) => {
  const { jwk } = one
  const ec = issuerKey('ec', 'ES256').jwk
  const ignored = {
    'a symmetric key': { kty: 'oct', k: 'c2VjcmV0', kid: 'x', alg: 'HS256' },
    'a key to encrypt with': { ...jwk, use: 'enc' },
    'a key that only signs': { ...jwk, key_ops: ['sign'] },
    'a key without an id': { ...jwk, kid: undefined },
    'a key for HS256': { ...jwk, alg: 'HS256' },
    'a key that says none': { ...jwk, alg: 'none' },
    'a curve for something else': { ...ec, alg: 'EdDSA' },
    'a short RSA key': issuerKey('x', 'RS256', 1024).jwk,
    'an RSA key for HS256': { ...issuerKey('x', 'RS256').jwk, alg: 'HS256' },
    'a damaged key': { ...ec, x: 'AAAA' },
    'no object': 7,
    null: null
  }
  for (const [name, key] of Object.entries(ignored)) t.equal(readJwks(JSON.stringify({ keys: [key] })).size, 0, name)
  t.equal(readJwks(JSON.stringify({ keys: [...Object.values(ignored), { ...jwk, alg: undefined, use: undefined }] })).size, 1)
  t.equal(readJwks(JSON.stringify({ keys: Array.from({ length: 1000 }, (_, i) => ({ ...jwk, kid: `k${i}` })) })).size, 100)
})

t.test('of two keys with one id the first counts', async (t) => {
  const [first, second] = [issuerKey('same'), issuerKey('same', 'ES256')]
  t.equal(readJwks(JSON.stringify({ keys: [first.jwk, second.jwk] })).get('same')?.algorithm, 'EdDSA')
})

t.test('a key for the algorithm Ed25519 (RFC 9864) is left out: its tokens could not be verified', async (t) => {
  const { jwk } = one
  t.same([...readJwks(JSON.stringify({ keys: [{ ...jwk, alg: 'Ed25519' }] })).keys()], [])
  t.same([...readJwks(JSON.stringify({ keys: [{ ...jwk, alg: undefined }] })).keys()], ['one'])
})

import { createPublicKey } from 'node:crypto'
import t from 'tap'
import { loadKeys } from '../../plugins/auth/keys.ts'
import { buildApp, withoutDatabase } from '../helpers/app.ts'
import { newPrivateKey } from '../helpers/keys.ts'

withoutDatabase()

t.test('the public keys of all that sign or verify are published, the first first', async t => {
  const JWT_PRIVATE_KEY = newPrivateKey() + newPrivateKey()
  const app = await buildApp(t, { JWT_PRIVATE_KEY })
  const response = await app.inject('/.well-known/jwks.json')
  t.match(response.headers['cache-control'], /max-age=300/)
  const { keys } = response.json() as { keys: Record<string, string>[] }
  const own = loadKeys(JWT_PRIVATE_KEY)
  t.same(keys.map(({ kid }) => kid), own.map(({ kid }) => kid))
  for (const [index, key] of keys.entries()) {
    t.equal(createPublicKey({ key, format: 'jwk' }).export({ format: 'pem', type: 'spki' }), own[index]?.publicPem)
    t.notOk('d' in key, 'the private part stays private')
  }
})

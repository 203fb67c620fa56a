// What is kept of values, under which keys, and what is believed of what is in Redis.
import t from 'tap'
import { Type } from 'typebox'
import { withoutDatabase } from '../helpers/app.ts'
import { HOUR, PATIENT, client, connected, entryKey, source, things, twoApps } from '../helpers/cache.ts'
import { buildLogged } from '../helpers/log.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'

withoutDatabase()

t.test('what is in Redis and no value of the cache is ignored, said and overwritten', withRedis, async t => {
  const { url } = await redisServer(t)
  const { app, lines } = await buildLogged(t, { REDIS_URL: url, ...PATIENT })
  await connected(app)
  const redis = client(t, url)
  let n = 0
  const poisons: [string, (key: string, version: string) => Promise<unknown>][] = [
    ['no entry', async key => await redis.set(key, 'x', 'EX', 60)],
    ['another type', async key => { await redis.del(key); await redis.lpush(key, 'x') }],
    ['one that is far too large', async (key, version) => await redis.set(key, `${version}\n{"n":1,"v":"${'x'.repeat(300_000)}"}`, 'EX', 60)],
    ['no JSON', async (key, version) => await redis.set(key, `${version}\n{"n":`, 'EX', 60)],
    ['another shape', async (key, version) => await redis.set(key, `${version}\n{"n":"1"}`, 'EX', 60)],
    ['more than the shape', async (key, version) => await redis.set(key, `${version}\n{"n":1,"__proto__":{"admin":true}}`, 'EX', 60)],
    ['for ever', async (key, version) => await redis.set(key, `${version}\n{"n":666}`)]
  ]
  for (const [name, poison] of poisons) {
    const cache = app.cache.define({ ...things, name: `p${n++}`, staleFor: HOUR })
    const thing = source()
    await cache.get('a', thing.load)
    const key = await entryKey(redis)
    const version = (await redis.get(key))!.split('\n')[0]!
    await poison(key, version)
    t.same(await cache.get('a', thing.load), { n: 1 }, name)
    t.equal(thing.count, 2, name)
    t.same(await cache.get('a', thing.load), { n: 1 }, name)
    t.equal(thing.count, 2, `${name}: kept again`)
    t.ok(lines.some(line => line.cache === `p${n - 1}` && /in Redis/.test(line.msg)), `${name}: said`)
    await redis.del(key)
  }
})

t.test('what is too large or does not fit is given, not kept, and said once', withRedis, async t => {
  const { url } = await redisServer(t)
  const { app, lines } = await buildLogged(t, { REDIS_URL: url, ...PATIENT, CACHE_VALUE_MAX: 1024 })
  await connected(app)
  const texts = app.cache.define({ name: 'texts', value: Type.String(), ttl: HOUR })
  const [fits, large] = ['x'.repeat(1022), 'ä'.repeat(512)]
  let loads = 0
  for (const value of [fits, fits, large, large]) t.equal(await texts.get(value === fits ? 'fits' : 'large', async () => { loads++; return value }), value)
  t.equal(loads, 3)
  const thing = app.cache.define(things)
  for (let n = 0; n < 2; n++) t.same(await thing.get('a', async () => ({ n: 0.5 })), { n: 0.5 })
  t.match(lines.filter(({ cache }) => cache !== undefined), [{ cache: 'texts', msg: /CACHE_VALUE_MAX/ }, { cache: 'things', msg: /does not fit/ }])
  t.equal(lines.filter(({ cache }) => cache !== undefined).length, 2)
})

t.test('releases with other values, and services with other databases, do not read each other\'s', withRedis, async t => {
  const { url } = await redisServer(t)
  const definitions = [things, { ...things, version: 2 }, { ...things, value: Type.Object({ n: Type.Integer({ maximum: 9 }) }, { additionalProperties: false }) }]
  const thing = source()
  for (const definition of definitions) {
    const { caches } = await twoApps(t, url, definition)
    await caches[0].get('a', thing.load)
  }
  const { caches } = await twoApps(t, url, things, { DATABASE_URL: 'postgresql://127.0.0.1:1/other' })
  await caches[0].get('a', thing.load)
  t.equal(thing.count, 4)
})

t.test('keys may be of any length and text', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url)
  const keys = ['', 'x'.repeat(100_000), `${'x'.repeat(100_000)}y`, 'a:b\n\0é😀', '#', 'a:lock', 'a']
  for (const [n, key] of keys.entries()) t.same(await caches[0].get(key, async () => ({ n }), { tags: [key] }), { n })
  for (const [n, key] of keys.entries()) t.same(await caches[1].get(key, async () => ({ n: -1 }), { tags: [key] }), { n })
  await apps[0].cache.invalidate(...keys)
  for (const key of keys) t.same(await caches[1].get(key, async () => ({ n: -1 }), { tags: [key] }), { n: -1 })
  for (const key of await client(t, url).keys('*')) t.ok(key.length < 300)
})

t.test('a definition that can\'t be is refused', async t => {
  const { app, lines } = await buildLogged(t)
  t.ok(lines.some(({ msg }) => /keeps nothing: neither CACHE_REDIS_URL nor REDIS_URL/.test(msg)))
  app.cache.define(things)
  t.throws(() => app.cache.define(things), /defined twice/)
  t.throws(() => app.cache.define({ ...things, name: 'A:b' }), /no name/)
  for (const wrong of [{ ttl: 0 }, { ttl: -1 }, { ttl: 1.5 }, { ttl: NaN }, { staleFor: -1 }, { noneTtl: Infinity }]) t.throws(() => app.cache.define({ ...things, name: 'other', ...wrong }), /milliseconds|ttl is 0/)
})

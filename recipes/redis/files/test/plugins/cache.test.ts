// The cache over a Redis of each test's own; two apps stand for two processes.
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { Type, type Static } from 'typebox'
import type { Cache, CacheDefinition } from '../../plugins/cache/index.ts'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp, withoutDatabase } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'
import { buildLogged } from '../helpers/log.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'

withoutDatabase()

const Thing = Type.Object({ n: Type.Integer() }, { additionalProperties: false })
type ThingValue = Static<typeof Thing>
const HOUR = 3_600_000
/** On a machine that is busy Redis may take its time. */
const PATIENT = { CACHE_TIMEOUT: 20_000 }
/** What becomes a 503. */
const refused = Object.assign(new Error(), { statusCode: 503 })
const things: CacheDefinition<typeof Thing> = { name: 'things', value: Thing, ttl: HOUR }

/** What loads, and how often it did. */
function source (value: ThingValue | null = { n: 1 }) {
  const source = {
    value,
    count: 0,
    /** What the loads wait for. */
    gate: Promise.resolve(),
    load: async () => {
      source.count++
      const { value } = source
      await source.gate
      return value
    }
  }
  return source
}

function gate () {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { promise, open: resolve }
}

/** Until an app has its Redis. */
const connected = async (...apps: FastifyInstance[]) => await until(async () => (await Promise.all(apps.map(app => app.metrics.scrape()))).every(({ text }) => text.includes('cache_redis_up 1')))

async function twoApps (t: Test, url: string, definition: CacheDefinition<typeof Thing> = things, overrides: Partial<Config> = {}) {
  const settings = { REDIS_URL: url, ...PATIENT, ...overrides }
  const apps = [await buildApp(t, settings), await buildApp(t, settings)] as const
  await connected(...apps)
  const caches = apps.map(app => app.cache.define(definition)) as [Cache<ThingValue>, Cache<ThingValue>]
  return { apps, caches }
}

function client (t: Test, url: string) {
  const redis = new Redis(url)
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  return redis
}

/** The key of the one entry there is. */
const entryKey = async (redis: Redis) => (await redis.keys('*:entry:*'))[0]!

const metric = async (app: FastifyInstance, line: string) => Number((await app.metrics.scrape()).text.split('\n').find(found => found.startsWith(line))?.split(' ').at(-1) ?? 0)

t.test('of 200 gets at once in two processes one loads', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url)
  const thing = source()
  const { promise, open } = gate()
  thing.gate = promise
  const gets = Array.from({ length: 200 }, (_, n) => caches[n % 2]!.get('a', thing.load))
  await until(() => thing.count > 0)
  await sleep(50)
  open()
  t.same(new Set((await Promise.all(gets)).map(value => JSON.stringify(value))), new Set(['{"n":1}']))
  t.equal(thing.count, 1)
  t.same(await caches[1].get('a', thing.load), { n: 1 })
  t.equal(thing.count, 1, 'it is kept')
  t.equal(await metric(apps[0], 'cache_gets_total{cache="things",result="miss"}') + await metric(apps[1], 'cache_gets_total{cache="things",result="miss"}'), 1)
  const redis = client(t, url)
  for (const key of await redis.keys('*')) t.ok(await redis.pttl(key) > 0, 'nothing stays for ever')
})

t.test('what is invalidated in one process is loaded anew in both', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url)
  const thing = source()
  const get = async (n: 0 | 1, key: string, ...tags: string[]) => await caches[n].get(key, thing.load, { tags })
  await get(0, 'a', 'x', 'y')
  await get(0, 'b', 'y')
  await get(0, 'c')
  thing.value = { n: 2 }
  t.equal(await apps[1].cache.invalidate('x'), true)
  t.same([await get(0, 'a', 'x', 'y'), await get(0, 'b', 'y'), await get(0, 'c')], [{ n: 2 }, { n: 1 }, { n: 1 }])
  t.same(await get(1, 'a', 'x', 'y'), { n: 2 })
  thing.value = { n: 3 }
  await apps[0].cache.invalidate('y', 'none has this')
  t.same([await get(1, 'a', 'x', 'y'), await get(1, 'b', 'y'), await get(1, 'c')], [{ n: 3 }, { n: 3 }, { n: 1 }])
  await apps[0].cache.clear()
  t.same(await get(1, 'c'), { n: 3 })
  t.equal(await apps[0].cache.invalidate(), true)
})

t.test('what was read before an invalidation is neither kept nor given to who comes after it', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url)
  for (const [other, key] of [[0, 'own'], [1, 'others']] as const) {
    const thing = source()
    const { promise, open } = gate()
    thing.gate = promise
    const before = caches[0].get(key, thing.load, { tags: ['x'] })
    await until(() => thing.count === 1)
    thing.value = { n: 2 }
    await apps[other].cache.invalidate('x')
    const after = [caches[0].get(key, thing.load, { tags: ['x'] }), caches[1].get(key, thing.load, { tags: ['x'] })]
    await sleep(50)
    open()
    t.same(await before, { n: 1 }, 'who asked before may have it')
    t.same(await Promise.all(after), [{ n: 2 }, { n: 2 }])
    t.same(await caches[0].get(key, thing.load, { tags: ['x'] }), { n: 2 })
    t.equal(thing.count, 2)
  }
  t.ok(await metric(apps[0], 'cache_faults_total{cache="things",kind="outdated"}') > 0)
})

t.test('a stale value is given out while one process loads it anew', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches } = await twoApps(t, url, { ...things, ttl: 1, staleFor: HOUR })
  const thing = source()
  await caches[0].get('a', thing.load, { tags: ['x'] })
  await sleep(5)
  const { promise, open } = gate()
  thing.gate = promise
  thing.value = { n: 2 }
  const stale = await Promise.all(Array.from({ length: 100 }, async (_, n) => await caches[n % 2]!.get('a', thing.load, { tags: ['x'] })))
  t.ok(stale.every(value => value?.n === 1))
  t.equal(thing.count, 2)
  open()
  await until(async () => (await caches[1].get('a', thing.load, { tags: ['x'] }))?.n === 2)
})

t.test('a stale value outlasts a source that fails, which is not asked with every get', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url, { ...things, ttl: 1, staleFor: HOUR })
  const thing = source()
  await caches[0].get('a', thing.load, { tags: ['x'] })
  await sleep(5)
  let failures = 0
  const fail = async () => {
    failures++
    throw new Error('no')
  }
  for (let n = 0; n < 50; n++) t.same(await caches[n % 2]!.get('a', fail, { tags: ['x'] }), { n: 1 })
  t.ok(failures <= 2, `${failures} failures`)
  await apps[0].cache.invalidate('x')
  await t.rejects(caches[0].get('a', fail, { tags: ['x'] }), { message: 'no' }, 'what is invalid is not given out stale')
})

t.test('that there is none is kept as long as is said', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url, { ...things, staleFor: HOUR, noneTtl: HOUR })
  const none = source(null)
  t.same([await caches[0].get('a', none.load), await caches[1].get('a', none.load)], [null, null])
  t.equal(none.count, 1)
  const [short, unkept] = [apps[0].cache.define({ ...things, name: 'short', staleFor: HOUR, noneTtl: 1 }), apps[0].cache.define({ ...things, name: 'unkept' })]
  for (const cache of [short, unkept]) {
    await cache.get('a', none.load)
    await sleep(5)
    const { count } = none
    t.equal(await cache.get('a', async () => { none.count++; return undefined }), null)
    t.equal(none.count, count + 1, 'it is never stale')
  }
})

t.test('an error is nobody\'s but of those who wait, and not kept', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches } = await twoApps(t, url)
  const { promise, open } = gate()
  let count = 0
  const fail = async (): Promise<ThingValue> => {
    count++
    await promise
    throw new Error('no')
  }
  const gets = Promise.allSettled(Array.from({ length: 20 }, async () => await caches[0].get('a', fail)))
  await until(() => count === 1)
  await sleep(50)
  open()
  t.ok((await gets).every(result => result.status === 'rejected' && (result.reason as Error).message === 'no'))
  t.equal(count, 1)
  t.same(await caches[1].get('a', source().load), { n: 1 })
})

t.test('with Redis killed amid traffic every get is right, and when it is back it is used', withRedis, async t => {
  const { url, stop, start } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url)
  const thing = source()
  const traffic = { isOver: false }
  const wrong: unknown[] = []
  let gets = 0
  const readers = Array.from({ length: 20 }, async (_, n) => {
    while (!traffic.isOver) {
      const least = thing.value?.n ?? 0
      const got = await caches[n % 2]!.get(`k${n % 5}`, thing.load, { tags: ['x'] }).catch((error: unknown) => ({ n: -1, error }))
      if (got === null || got.n < least) wrong.push(got)
      gets++
      await sleep(1)
    }
  })
  const more = async () => {
    const before = gets
    await until(() => gets > before + 200)
  }
  await more()
  await stop()
  await more()
  thing.value = { n: 2 }
  t.same(await Promise.all(apps.map(async app => await app.cache.invalidate('x'))), [false, false])
  await more()
  await start()
  await connected(...apps)
  await until(async () => await metric(apps[0], 'cache_invalidations_pending') + await metric(apps[1], 'cache_invalidations_pending') === 0)
  await more()
  traffic.isOver = true
  await Promise.all(readers)
  t.same(wrong, [])
  const { count } = thing
  t.same(await caches[0].get('k1', thing.load, { tags: ['x'] }), { n: 2 })
  t.equal(thing.count, count, 'it is kept again')
})

t.test('what Redis could not be told to end is not read by this process, and ended when Redis is back', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url)
  const redis = client(t, url)
  const thing = source()
  await caches[0].get('a', thing.load, { tags: ['x'] })
  await caches[0].get('b', thing.load, { tags: ['y'] })
  thing.value = { n: 2 }
  await redis.call('ACL', 'SETUSER', 'default', '-unlink')
  t.equal(await apps[0].cache.invalidate('x'), false)
  t.same(await caches[0].get('a', thing.load, { tags: ['x'] }), { n: 2 })
  t.same(await caches[0].get('b', thing.load, { tags: ['y'] }), { n: 1 })
  await redis.call('ACL', 'SETUSER', 'default', '+unlink')
  await until(async () => await metric(apps[0], 'cache_invalidations_pending') === 0)
  t.same(await caches[1].get('a', thing.load, { tags: ['x'] }), { n: 2 })
})

t.test('a Redis that hangs holds up a few gets, not each, and is used when it goes on', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url, things, { CACHE_TIMEOUT: 250 })
  const redis = client(t, url)
  const thing = source()
  await caches[0].get('a', thing.load)
  await redis.call('CLIENT', 'PAUSE', '3000', 'ALL')
  for (let n = 0; n < 30; n++) t.same(await caches[0].get('a', thing.load), { n: 1 })
  t.ok(await metric(apps[0], 'cache_redis_failures_total{kind="unanswered"}') <= 5)
  t.ok(await metric(apps[0], 'cache_redis_failures_total{kind="away"}') >= 20)
  await until(async () => {
    const { count } = thing
    await caches[0].get('a', thing.load)
    return thing.count === count
  })
})

t.test('a Redis that has no room left is read, and nothing fails', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches } = await twoApps(t, url)
  const thing = source()
  await caches[0].get('a', thing.load)
  const redis = client(t, url)
  await redis.call('CONFIG', 'SET', 'maxmemory', '1')
  t.same(await caches[1].get('a', thing.load), { n: 1 })
  t.equal(thing.count, 1)
  t.same([await caches[1].get('b', thing.load), await caches[1].get('b', thing.load)], [{ n: 1 }, { n: 1 }])
  t.equal(thing.count, 3)
})

t.test('what is in Redis and no value of the cache is ignored, said and overwritten', withRedis, async t => {
  const { url } = await redisServer(t)
  const { app, lines } = await buildLogged(t, { REDIS_URL: url, ...PATIENT })
  await connected(app)
  const redis = client(t, url)
  let n = 0
  const poisons: [string, (key: string, version: string) => Promise<unknown>][] = [
    ['no entry', async key => await redis.set(key, 'x', 'EX', 60)],
    ['another type', async key => { await redis.del(key); await redis.lpush(key, 'x') }],
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

t.test('a tag that is none leaves the values uncached, and nothing fails', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches } = await twoApps(t, url)
  const redis = client(t, url)
  const thing = source()
  await caches[0].get('a', thing.load, { tags: ['x'] })
  const [tag] = await redis.keys('*:tag:x')
  await redis.del(tag!)
  await redis.lpush(tag!, 'x')
  t.same(await caches[0].get('a', thing.load, { tags: ['x'] }), { n: 1 })
  t.equal(thing.count, 2)
})

t.test('the lock of a process that is gone ends, also one without an end', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches } = await twoApps(t, url)
  const redis = client(t, url)
  const thing = source()
  await caches[0].get('a', thing.load)
  const key = await entryKey(redis)
  const lockKey = key.replace(':entry:', ':lock:')
  for (const lock of [async () => await redis.set(lockKey, 'gone', 'PX', 300), async () => await redis.set(lockKey, 'gone')]) {
    await redis.del(key)
    await lock()
    const { count } = thing
    t.same(await Promise.all([0, 1, 0, 1].map(async n => await caches[n]!.get('a', thing.load))), Array(4).fill({ n: 1 }))
    t.equal(thing.count, count + 1)
  }
})

t.test('who has lost the lock keeps nothing over what came after', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches } = await twoApps(t, url)
  const redis = client(t, url)
  const [late, thing] = [source({ n: 1 }), source({ n: 2 })]
  const { promise, open } = gate()
  late.gate = promise
  const first = caches[0].get('a', late.load)
  await until(() => late.count === 1)
  const [lock] = await redis.keys('*:lock:*')
  await redis.del(lock!)
  t.same(await caches[1].get('a', thing.load), { n: 2 })
  open()
  t.same(await first, { n: 1 })
  t.same(await caches[0].get('a', thing.load), { n: 2 })
  t.equal(thing.count, 1)
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

t.test('without Redis values are loaded, so many at a time, and the rest is refused', async t => {
  for (const settings of [{}, { CACHE_REDIS_URL: 'redis://127.0.0.1:1' }]) {
    const app = await buildApp(t, { CACHE_LOADS_MAX: 2, ...settings })
    const cache = app.cache.define(things)
    const { promise, open } = gate()
    let [underWay, most] = [0, 0]
    const load = async () => {
      most = Math.max(most, ++underWay)
      await promise
      underWay--
      return { n: 1 }
    }
    const gets = Array.from({ length: 2 + 2 * 20 }, async (_, n) => await cache.get(String(n), load))
    const same = Array.from({ length: 10 }, async () => await cache.get('0', load))
    await until(() => underWay === 2)
    await t.rejects(cache.get('one more', load), refused)
    open()
    await Promise.all([...gets, ...same])
    t.equal(most, 2)
    t.equal(await metric(app, 'cache_gets_total{cache="things",result="direct"}'), 53)
    const thing = source()
    await cache.get('a', thing.load)
    await cache.get('a', thing.load)
    t.equal(thing.count, 2, 'nothing is kept')
  }
})

t.test('a refused load is 503 to the client, in the form of every problem', async t => {
  const app = await buildApp(t, { CACHE_LOADS_MAX: 1, REQUEST_TIMEOUT_MS: 300 }, app => app.get('/never', { config: { public: true }, schema: { hide: true } }, async () => await app.cache.define({ ...things, name: `n${Math.random().toString(36).slice(2)}` }).get('a', async () => await new Promise(() => {}))))
  t.match(await app.inject('/never'), { statusCode: 503, headers: { 'retry-after': /^\d+$/, 'content-type': 'application/problem+json' } })
})

t.test('a load that never ends is given up, its signal fires, and the next is made', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches } = await twoApps(t, url, things, { REQUEST_TIMEOUT_MS: 200, CACHE_LOADS_MAX: 1 })
  let isAborted = false
  await t.rejects(caches[0].get('a', async signal => await new Promise(() => signal.addEventListener('abort', () => { isAborted = true }))), refused)
  t.ok(isAborted)
  t.same(await caches[0].get('a', source().load), { n: 1 })
})

t.test('a load may use the cache, but not for its own key', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches: [cache] } = await twoApps(t, url, things, { CACHE_LOADS_MAX: 1 })
  t.same(await cache.get('outer', async () => await cache.get('inner', async () => ({ n: 7 }))), { n: 7 })
  await t.rejects(cache.get('self', async () => await cache.get('self', source().load)), { message: /asks the cache for it/ })
  t.same(await cache.get('self', source().load), { n: 1 })
})

t.test('a definition that can\'t be is refused', async t => {
  const { app, lines } = await buildLogged(t)
  t.ok(lines.some(({ msg }) => /keeps nothing: neither CACHE_REDIS_URL nor REDIS_URL/.test(msg)))
  app.cache.define(things)
  t.throws(() => app.cache.define(things), /defined twice/)
  t.throws(() => app.cache.define({ ...things, name: 'A:b' }), /no name/)
  for (const wrong of [{ ttl: 0 }, { ttl: -1 }, { ttl: 1.5 }, { ttl: NaN }, { staleFor: -1 }, { noneTtl: Infinity }]) t.throws(() => app.cache.define({ ...things, name: 'other', ...wrong }), /milliseconds|ttl is 0/)
})

t.test('a stop waits for what is loaded in the background, and begins no more of it', withRedis, async t => {
  const { url } = await redisServer(t)
  const { apps, caches } = await twoApps(t, url, { ...things, ttl: 1, staleFor: HOUR })
  const thing = source()
  await caches[0].get('a', thing.load)
  await sleep(5)
  const { promise, open } = gate()
  thing.gate = promise
  thing.value = { n: 2 }
  await caches[0].get('a', thing.load)
  const closed = apps[0].close()
  await sleep(50)
  open()
  await closed
  const redis = client(t, url)
  t.match(await redis.get(await entryKey(redis)), /{"n":2}$/)
})

t.test('a route that says so invalidates before it answers, also when it sends by itself, fails or is too late, and not when it is not reached', withRedis, async t => {
  const { url } = await redisServer(t)
  const { promise, open } = gate()
  const app = await buildApp(t, { REDIS_URL: url, ...PATIENT }, app => {
    const config = { public: true, invalidates: ['x:{id}', 'none:{other}'] }
    const schema = { hide: true }
    app.put('/returns/:id', { config, schema }, async () => '')
    app.put('/sends/:id', { config, schema }, async (_request, reply) => await reply.send(''))
    app.put('/calls/:id', { config, schema }, (_request, reply) => { reply.send('') })
    app.put('/fails/:id', { config, schema }, async () => { throw new Error('after the commit') })
    app.put('/late/:id', { config, schema }, async () => { await promise })
    app.put('/guarded/:id', { config: { ...config, public: false, scopes: ['users:read'] }, schema }, async () => '')
  })
  await connected(app)
  const cache = app.cache.define(things)
  const thing = source()
  const loads = async () => {
    const { count } = thing
    await cache.get('a', thing.load, { tags: ['x:1'] })
    return thing.count - count
  }
  await loads()
  for (const path of ['returns', 'sends', 'calls', 'fails']) {
    await app.inject({ method: 'PUT', url: `/${path}/2` })
    t.equal(await loads(), 0, path)
    await app.inject({ method: 'PUT', url: `/${path}/1` })
    t.equal(await loads(), 1, path)
    // It may come again, when the handler has ended.
    await until(async () => await loads() === 0)
  }
  t.equal((await app.inject({ method: 'PUT', url: '/guarded/1' })).statusCode, 401)
  t.equal(await loads(), 0)
  t.equal((await app.inject({ method: 'PUT', url: '/late/1', headers: { 'x-request-timeout-ms': '20' } })).statusCode, 503)
  await until(async () => await loads() === 0)
  open()
  await until(async () => await loads() === 1)
})

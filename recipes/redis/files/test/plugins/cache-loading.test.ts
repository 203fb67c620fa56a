// Who loads a value and who waits for it, in two processes (apps) over a Redis of each test's own.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildApp, withoutDatabase } from '../helpers/app.ts'
import { client, entryKey, gate, metric, refused, source, things, twoApps, type ThingValue } from '../helpers/cache.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'

withoutDatabase()

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

t.test('a refused load is 503 to the client, in the form of every problem', async t => {
  const app = await buildApp(t, { CACHE_LOADS_MAX: 1, REQUEST_TIMEOUT_MS: 300 }, app => app.get('/never', { config: { public: true }, schema: { hide: true } }, async () => await app.cache.define({ ...things, name: `n${Math.random().toString(36).slice(2)}` }).get('a', async () => await new Promise(() => {}))))
  t.match(await app.inject('/never'), { statusCode: 503, headers: { 'retry-after': /^\d+$/, 'content-type': 'application/problem+json' } })
})

// Redis killed, hanging, full, refusing or not there: what the cache gives stays right.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildApp, withoutDatabase } from '../helpers/app.ts'
import { client, connected, gate, metric, refused, source, things, twoApps } from '../helpers/cache.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'

withoutDatabase()

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

// Stale values, and values that there are none of, in two processes (apps) over a Redis of each test's own.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { withoutDatabase } from '../helpers/app.ts'
import { HOUR, client, entryKey, gate, source, things, twoApps } from '../helpers/cache.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'

withoutDatabase()

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

// What is invalidated is loaded anew, in each of two processes (apps) over a Redis of each test's own.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildApp, withoutDatabase } from '../helpers/app.ts'
import { PATIENT, client, connected, gate, metric, source, things, twoApps } from '../helpers/cache.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'

withoutDatabase()

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

t.test('a tag that is none is overwritten', withRedis, async t => {
  const { url } = await redisServer(t)
  const { caches } = await twoApps(t, url)
  const redis = client(t, url)
  const thing = source()
  await caches[0].get('a', thing.load, { tags: ['x'] })
  const [tag] = await redis.keys('*:tag:x')
  await redis.del(tag!)
  await redis.lpush(tag!, 'x')
  for (let n = 0; n < 2; n++) t.same(await caches[0].get('a', thing.load, { tags: ['x'] }), { n: 1 })
  t.equal(thing.count, 2)
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

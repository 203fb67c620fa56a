// The sample of a cached read: changes are seen at once, and who may do what is asked every time.
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { asAdmin, bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { metric } from '../helpers/cache.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'

const gets = async (app: FastifyInstance, result: string) => await metric(app, `cache_gets_total{cache="catalogue",result="${result}"}`)
const nameOf = async (app: FastifyInstance, id: string) => (await app.inject(`/catalogue/${id}`)).json().name as string

async function service (t: Test) {
  const server = await redisServer(t)
  // On a machine that is busy Redis may take its time.
  const settings = { REDIS_URL: server.url, CACHE_TIMEOUT: 20_000 }
  const apps = [await buildApp(t, settings), await buildApp(t, settings)] as const
  await until(async () => await metric(apps[0], 'cache_redis_up') + await metric(apps[1], 'cache_redis_up') === 2)
  const admin = await asAdmin(apps[0])
  const rename = async (n: 0 | 1, id: string, name: string, headers: object = bearer(admin.token)) => (await apps[n].inject({ method: 'PATCH', url: `/products/${id}`, headers: { 'if-match': '*', ...headers }, payload: { name } })).statusCode
  return { ...server, apps, admin, rename }
}

t.test('an item is read once, whoever reads it, and anew after each change', withRedis, async t => {
  const { apps, rename } = await service(t)
  const { id } = await newProduct(apps[0])
  t.match((await apps[0].inject(`/catalogue/${id}`)).json(), { id, name: 'Lamp', price: { amount: 1999, currency: 'EUR' }, stock: undefined })
  t.equal(await nameOf(apps[1], id), 'Lamp')
  t.equal(await gets(apps[1], 'hit'), 1)
  for (let n = 1; n <= 20; n++) {
    t.equal(await rename(n % 2 ? 0 : 1, id, `Lamp ${n}`), 200)
    t.same(await Promise.all(apps.map(async app => await nameOf(app, id))), [`Lamp ${n}`, `Lamp ${n}`])
  }
})

t.test('what is deleted is gone, and what is not there is asked for once', withRedis, async t => {
  const { apps, admin } = await service(t)
  const { id } = await newProduct(apps[0])
  await nameOf(apps[1], id)
  t.equal((await apps[0].inject({ method: 'DELETE', url: `/products/${id}`, headers: { 'if-match': '*', ...bearer(admin.token) } })).statusCode, 204)
  for (const app of apps) t.match((await app.inject(`/catalogue/${id}`)).json(), { status: 404, code: 'NOT_FOUND' })
  t.equal(await gets(apps[1], 'hit'), 1, 'that there is none is kept')
  t.match((await apps[0].inject('/catalogue/x')).json(), { status: 400 })
})

t.test('who may not change it changes nothing, nor what is kept', withRedis, async t => {
  const { apps, rename } = await service(t)
  const { id } = await newProduct(apps[0])
  const { token } = await registered(apps[0])
  await nameOf(apps[0], id)
  for (let n = 0; n < 2; n++) {
    t.equal(await rename(0, id, 'Mine', {}), 401, 'a warm cache opens nothing')
    t.equal(await rename(0, id, 'Mine', bearer(token)), 403)
  }
  t.equal(await nameOf(apps[1], id), 'Lamp')
  t.equal(await gets(apps[1], 'hit'), 1)
})

t.test('with Redis killed amid traffic every answer is 200 and right, and it recovers', withRedis, async t => {
  const { apps, rename, stop, start } = await service(t)
  const { id } = await newProduct(apps[0])
  let [version, count] = [0, 0]
  const traffic = { isOver: false }
  const wrong: unknown[] = []
  await rename(0, id, '0')
  const readers = Array.from({ length: 8 }, async (_, n) => {
    while (!traffic.isOver) {
      const least = version
      const response = await apps[n % 2]!.inject(`/catalogue/${id}`)
      if (response.statusCode !== 200 || Number(response.json().name) < least) wrong.push([response.statusCode, response.body, least])
      count++
      await sleep(1)
    }
  })
  const change = async (n: 0 | 1) => {
    const before = count
    await rename(n, id, String(version + 1))
    version++
    await until(() => count > before + 50)
  }
  await change(0)
  await change(1)
  await stop()
  await change(0)
  await change(1)
  await start()
  await until(async () => await metric(apps[0], 'cache_redis_up') + await metric(apps[1], 'cache_redis_up') === 2)
  await change(0)
  await change(1)
  traffic.isOver = true
  await Promise.all(readers)
  t.same(wrong, [])
  await nameOf(apps[0], id)
  const hits = await gets(apps[1], 'hit')
  t.equal(await nameOf(apps[1], id), String(version))
  t.equal(await gets(apps[1], 'hit'), hits + 1)
})

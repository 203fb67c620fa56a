// Processes that count together in Redis. Each test has a Redis of its own, if it is installed.
import { Redis } from 'ioredis'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { buildApp } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'

const SETTINGS = { RATE_LIMIT_MAX: 4, RATE_LIMIT_WINDOW: 3_600_000 }
const ask = async (app: FastifyInstance, remoteAddress = '192.0.2.1') => (await app.inject({ url: '/products', remoteAddress })).statusCode
/** Until a request of another client was counted in Redis. */
const connected = async (app: FastifyInstance, url: string) => {
  const redis = new Redis(url)
  await until(async () => {
    await ask(app, '198.51.100.1')
    return (await redis.keys('*198.51.100.1')).length > 0
  })
  await redis.flushall()
  redis.disconnect()
}

t.test('two processes limit a client together', withRedis, async t => {
  const { url } = await redisServer(t)
  const [one, two] = [await buildApp(t, { REDIS_URL: url, ...SETTINGS }), await buildApp(t, { REDIS_URL: url, ...SETTINGS })]
  await connected(one, url)
  await connected(two, url)
  t.same([await ask(one), await ask(two), await ask(one), await ask(two)], [200, 200, 200, 200])
  t.same([await ask(one), await ask(two)], [429, 429])
  t.equal(await ask(two, '192.0.2.2'), 200, 'another client has its own')
})

t.test('a route with a limit of its own has counts of its own', withRedis, async t => {
  const { url } = await redisServer(t)
  const process = async () => await buildApp(t, { REDIS_URL: url, ...SETTINGS }, app => {
    for (const url of ['/rare', '/seldom']) app.get(url, { config: { public: true, rateLimit: { max: 1 } }, schema: { hide: true } }, async () => ({}))
  })
  const [one, two] = [await process(), await process()]
  await connected(one, url)
  await connected(two, url)
  t.same([(await one.inject('/rare')).statusCode, (await two.inject('/rare')).statusCode], [200, 429])
  t.equal((await one.inject('/seldom')).statusCode, 200)
})

t.test('the window ends', withRedis, async t => {
  const { url } = await redisServer(t)
  const app = await buildApp(t, { REDIS_URL: url, ...SETTINGS })
  await connected(app, url)
  for (let n = 0; n < 5; n++) await ask(app)
  const redis = new Redis(url)
  const [key] = await redis.keys('*192.0.2.1')
  t.ok(await redis.pttl(key!) > 0)
  await redis.del(key!)
  redis.disconnect()
  t.equal(await ask(app), 200)
})

t.test('while Redis is away each process limits by itself, and together again when it is back', withRedis, async t => {
  const { url, stop, start } = await redisServer(t)
  const app = await buildApp(t, { REDIS_URL: url, ...SETTINGS })
  await connected(app, url)
  await stop()
  const statuses: number[] = []
  for (let n = 0; n < 6; n++) statuses.push(await ask(app))
  t.same(statuses, [200, 200, 200, 200, 429, 429], 'the door is not open')
  await start()
  await connected(app, url)
  t.equal(await ask(app), 200, 'the common count counts')
})

t.test('a Redis that is not there at the start is as one that is away', withRedis, async t => {
  const app = await buildApp(t, { REDIS_URL: 'redis://127.0.0.1:1', ...SETTINGS })
  for (let n = 0; n < 4; n++) t.equal(await ask(app), 200)
  t.equal(await ask(app), 429)
})

t.test('a Redis that hangs holds no request for long', withRedis, async t => {
  const { url } = await redisServer(t)
  const app = await buildApp(t, { REDIS_URL: url, ...SETTINGS })
  await connected(app, url)
  const redis = new Redis(url)
  await redis.call('CLIENT', 'PAUSE', '600000', 'ALL')
  t.equal(await ask(app), 200)
  redis.disconnect()
})

// Processes that wake each other up through Redis. Each test has a Redis of its own, if it is installed.
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import { channelOf } from '../../plugins/events/redis-listener.ts'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { buildApp } from '../helpers/app.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { buildLogged } from '../helpers/log.ts'

async function eventually (condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

async function record (fastify: FastifyInstance, ...numbers: number[]): Promise<void> {
  await inTransaction(fastify.prisma, async tx => {
    for (const n of numbers) await recordEvent(tx, { type: 'thing.changed', subject: 'x', data: { n } })
  })
}

/** Follows the events of an app, by their `n`. */
async function follow (fastify: FastifyInstance): Promise<number[]> {
  const got: number[] = []
  await fastify.events.subscribe({ event: ({ json }) => { got.push((JSON.parse(json) as { n: number }).n) }, reset: () => {}, failed: () => {} }, {})
  return got
}

t.test('a transaction with events is announced once, after its commit; another is not', withRedis, async t => {
  const { url } = await redisServer(t)
  const app = await buildApp(t, { REDIS_URL: url })
  const heard: string[] = []
  const ear = new Redis(url)
  t.teardown(() => ear.disconnect())
  await ear.subscribe(channelOf({ url: app.databaseUrl, schema: undefined }))
  ear.on('message', channel => heard.push(channel))
  await inTransaction(app.prisma, async tx => await tx.product.updateMany({ data: { stock: 1 } }))
  await t.rejects(inTransaction(app.prisma, async tx => {
    await recordEvent(tx, { type: 'thing.changed', subject: 'x', data: {} })
    throw new Error('no')
  }))
  await record(app, 1, 2, 3)
  await record(app, 4)
  await eventually(() => heard.length === 2)
  t.same(new Set(heard).size, 1)
})

t.test('events reach the subscribers of every process, and PostgreSQL is not listened to', withRedis, async t => {
  const { url } = await redisServer(t)
  const [app, other] = [await buildApp(t, { REDIS_URL: url }), await buildApp(t, { REDIS_URL: url })]
  const [here, there] = [await follow(app), await follow(other)]
  for (let n = 0; n < 50; n++) await record(n % 2 ? app : other, n)
  await eventually(() => here.length === 50 && there.length === 50)
  t.same(here, Array.from({ length: 50 }, (_, n) => n))
  t.same(there, here)
  const listeners = await app.prisma.$queryRaw<object[]>`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keel events'`
  t.same(listeners, [])
})

t.test('while Redis is away events come by asking now and then, and when it is back they are announced again', withRedis, async t => {
  const redis = await redisServer(t)
  const [app, other] = [await buildApp(t, { REDIS_URL: redis.url }), await buildApp(t, { REDIS_URL: redis.url })]
  const there = await follow(other)
  await record(app, 1)
  await eventually(() => there.length === 1)
  await redis.stop()
  await record(app, 2)
  await eventually(() => there.length === 2)
  await redis.start()
  await record(app, 3)
  await eventually(() => there.length === 3)
  t.same(there, [1, 2, 3])
})

t.test('a service starts and serves without its Redis, and uses it when it is there', withRedis, async t => {
  const redis = await redisServer(t)
  await redis.stop()
  const app = await buildApp(t, { REDIS_URL: redis.url })
  const here = await follow(app)
  await record(app, 1)
  await eventually(() => here.length === 1)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  await redis.start()
  const probe = new Redis(redis.url)
  t.teardown(() => probe.disconnect())
  const listeners = async () => (await probe.pubsub('NUMSUB', channelOf({ url: app.databaseUrl, schema: undefined })))[1]
  while (await listeners() !== 1) await sleep(20)
  await record(app, 2)
  await eventually(() => here.length === 2)
})

t.test('what a user of Redis may not do is a warning, once, and again after it was allowed', withRedis, async t => {
  const { url } = await redisServer(t)
  const operator = new Redis(url)
  t.teardown(() => operator.disconnect())
  const allow = (channels: 'resetchannels' | 'allchannels') => operator.call('ACL', 'SETUSER', 'default', channels)
  await allow('resetchannels')
  const { app, lines } = await buildLogged(t, { REDIS_URL: url })
  const warnings = (words: RegExp) => lines.filter(({ level, msg }) => level === 40 && words.test(msg)).length
  const here = await follow(app)
  await eventually(() => warnings(/can't be heard of/) === 1)
  for (const n of [1, 2, 3]) await record(app, n)
  await eventually(() => here.length === 3 && warnings(/can't be announced/) > 0)
  t.equal(warnings(/can't be announced/), 1)

  await allow('allchannels')
  // It loses what it may do before the test ends, and would ask for it again.
  const ear = new Redis(url, { autoResubscribe: false })
  t.teardown(() => ear.disconnect())
  await ear.subscribe(channelOf({ url: app.databaseUrl, schema: undefined }))
  const heard = new Promise(resolve => ear.once('message', resolve))
  await record(app, 4)
  await heard
  await allow('resetchannels')
  await record(app, 5)
  await eventually(() => warnings(/can't be announced/) === 2)
})

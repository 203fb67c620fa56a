// What is BullMQ's alone: Redis beside the database.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue } from 'bullmq'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import { asConnection, prefixOf } from '../../plugins/jobs/bullmq/redis.ts'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { inRedis, rowsOf } from '../helpers/job-store.ts'
import { deadJobs, withJobs } from '../helpers/jobs.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'
import { loggingWorker, newQueue, Numbered, worker } from '../helpers/workers.ts'

const METRICS_TOKEN = 'a-token-for-metrics'
const check = async (app: FastifyInstance) => (await app.inject({ url: '/health/ready', headers: bearer(METRICS_TOKEN) })).json().checks.jobs as { status: string, detail?: string }
const isWell = async (app: FastifyInstance) => (await check(app)).status === 'ok'

t.test('while Redis is away orders are placed and jobs kept; the check says so, and when it is back, though empty, they run and are scheduled', withRedis, async t => {
  const redis = await redisServer(t)
  const name = newQueue()
  const { app, runs } = await worker(t, name, { schedule: { cron: '0 4 * * *', payload: { n: 2 } } }, { JOBS_REDIS_URL: redis.url, METRICS_TOKEN })
  await until(() => isWell(app))
  await redis.stop()
  await until(async () => !await isWell(app))
  t.match(await check(app), { detail: /Redis is away/ })
  const { token } = await registered(app)
  const { id: productId } = await newProduct(app)
  t.equal((await app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload: { items: [{ productId, quantity: 1 }] } })).statusCode, 201)
  await app.jobs.send(name, { n: 1 })
  t.equal((await rowsOf(app, name)).length, 1)
  await redis.start()
  await until(() => runs.length === 1)
  await until(() => isWell(app))
  // It may have run before the relay has committed that it was handed on.
  await until(async () => (await rowsOf(app, name)).length === 0)
  await until(async () => await inRedis(app, '_schedules', async queue => (await queue.getJobSchedulers()).some(({ key }) => key === name)))
})

t.test('a worker that starts without Redis begins when it is there', withRedis, async t => {
  const redis = await redisServer(t)
  await redis.stop()
  const name = newQueue()
  const { app, runs } = await worker(t, name, {}, { JOBS_REDIS_URL: redis.url, METRICS_TOKEN })
  await app.jobs.send(name, { n: 1 })
  t.match(await check(app), { detail: /the jobs are not running/ })
  await redis.start()
  await until(() => runs.length === 1)
})

t.test('a worker whose Redis is away ends all the same', withRedis, async t => {
  const redis = await redisServer(t)
  const { app } = await worker(t, newQueue(), {}, { JOBS_REDIS_URL: redis.url, METRICS_TOKEN })
  await until(() => isWell(app))
  await redis.stop()
  await until(async () => !await isWell(app))
  await app.close()
  t.pass('what was left would keep this process from ending')
})

t.test('a worker that is ended while it begins leaves no listener behind', async t => {
  const { app: web } = await worker(t, newQueue(), {}, { ROLE: 'web' })
  for (let ms = 0; ms < 100; ms += 10) {
    const { app } = await worker(t, newQueue())
    await sleep(ms)
    await app.close()
  }
  await until(async () => (await web.prisma.$queryRaw<object[]>`SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keel outgoing_jobs'`).length === 0)
  t.pass('the connections of the others have ended')
})

t.test('a Redis that may evict jobs is named at the start', withRedis, async t => {
  const { url } = await redisServer(t)
  const redis = new Redis(url)
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
  redis.disconnect()
  const { lines } = await loggingWorker(t, { name: newQueue(), payload: Numbered, handler: async () => {} }, { JOBS_REDIS_URL: url })
  t.match(await until(() => lines.find(({ msg }) => /maxmemory-policy/.test(msg))), { level: 40, policy: 'allkeys-lru' })
})

t.test('an attempt that was cancelled and had back while it ran finds out when the next one begins beside it', async t => {
  const name = newQueue()
  const signals: AbortSignal[] = []
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  t.teardown(open)
  const { app } = await worker(t, name, { concurrency: 2, handler: async ({ signal }) => { signals.push(signal); await gate } })
  const id = await app.jobs.send(name, { n: 1 }) ?? ''
  await until(() => signals.length === 1)
  await withJobs(app, async admin => {
    t.match(await admin.cancel([id]), [{ done: /its signal fires/ }])
    t.match(await admin.retry([id]), [{ done: `is back on ${name}` }])
  })
  await until(() => signals.length === 2)
  await until(() => signals[0]?.aborted === true)
  t.equal(signals[1]?.aborted, false)
})

t.test('schedules', async t => {
  const name = newQueue()
  const schedule = { cron: '0 4 * * *', timeZone: 'Europe/Berlin', payload: { n: 7 } }
  const schedulers = async (app: FastifyInstance) => await inRedis(app, '_schedules', async queue => (await queue.getJobSchedulers()).filter(({ key }) => key === name))

  await t.test('are made, changed and ended with their declaration', async t => {
    const { app } = await worker(t, name, { schedule })
    await until(async () => (await schedulers(app)).length === 1)
    t.match(await schedulers(app), [{ pattern: '0 4 * * *', tz: 'Europe/Berlin' }])
    const changed = await worker(t, name, { schedule: { ...schedule, cron: '0 5 * * *' } })
    await until(async () => (await schedulers(changed.app))[0]?.pattern === '0 5 * * *')
    const without = await worker(t, name)
    await until(async () => (await schedulers(without.app)).length === 0)
  })

  await t.test('come back when Redis has lost them without a word', async t => {
    const name = newQueue()
    const { app } = await worker(t, name, { schedule })
    const found = async () => await inRedis(app, '_schedules', async queue => (await queue.getJobSchedulers()).filter(({ key }) => key === name).length)
    await until(async () => await found() === 1)
    await inRedis(app, '_schedules', async queue => { await queue.removeJobScheduler(name) })
    t.equal(await found(), 0)
    await until(async () => await found() === 1)
  })

  await t.test('a time that was missed is made up for once, or skipped where that is asked for; one that is seen to twice sends one job', async t => {
    const [once, skip] = [newQueue(), newQueue()]
    const at = Date.now() - 3_600_000
    const { app: web } = await worker(t, once, {}, { ROLE: 'web' })
    const tick = { payload: { n: 1 }, policy: 'standard', retries: 5 }
    const ran: string[] = []
    const app = await buildApp(t, { ROLE: 'all' }, fastify => {
      for (const name of [once, skip]) fastify.jobs.define({ name, payload: Numbered, handler: async () => { ran.push(name) } })
    })
    await inRedis(web, '_schedules', async queue => {
      await queue.add('tick', { ...tick, queue: skip, isSkipped: true }, { jobId: `tick:skip:${at}` })
      for (const n of [1, 2]) await queue.add('tick', { ...tick, queue: once, isSkipped: false }, { jobId: `tick:${n}:${at}` })
    })
    await until(() => ran.length > 0)
    await until(async () => await inRedis(app, '_schedules', async queue => await queue.getCompletedCount()) >= 3)
    t.same(ran, [once])
  })
})

t.test('services with other databases have queues of their own in a Redis', async t => {
  const url = 'postgresql://localhost/one'
  t.equal(prefixOf(url), 'keel:jobs:one:public')
  t.equal(prefixOf(`${url}?schema=two`), 'keel:jobs:one:two')
})

t.test('a job that another program puts on a queue is held against its schema', async t => {
  const name = newQueue()
  const { app, runs } = await worker(t, name)
  const redis = new Redis('redis://127.0.0.1:6379')
  const queue = new Queue(name, { connection: asConnection(redis), prefix: prefixOf(app.databaseUrl), skipVersionCheck: true })
  await queue.add(name, { payload: { n: 'one' } }, { jobId: randomUUID() })
  redis.disconnect()
  t.match(await until(async () => (await deadJobs(app, name))[0]), { reason: /does not fit the schema/ })
  t.same(runs, [])
})

// What is BullMQ's alone: Redis beside the database, and the outbox between them.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue } from 'bullmq'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import { handed, next } from '../../plugins/jobs/bullmq/outbox.ts'
import { asConnection, prefixOf } from '../../plugins/jobs/bullmq/redis.ts'
import { sqlOf } from '../../plugins/jobs/bullmq/relay.ts'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { inRedis } from '../helpers/job-store.ts'
import { deadJobs, storedJobs, withJobs } from '../helpers/jobs.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'
import { loggingWorker, newQueue, Numbered, worker } from '../helpers/workers.ts'

const METRICS_TOKEN = 'a-token-for-metrics'
const check = async (app: FastifyInstance) => (await app.inject({ url: '/health/ready', headers: bearer(METRICS_TOKEN) })).json().checks.jobs as { status: string, detail?: string }
const isWell = async (app: FastifyInstance) => (await check(app)).status === 'ok'
const rowsOf = async (app: FastifyInstance, queue: string) => await app.prisma.outgoingJob.findMany({ where: { queue }, orderBy: { position: 'asc' } })

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

t.test('a relay that is killed after it has handed a job on, and before it has noted that, hands it on again: it runs once', async t => {
  const name = newQueue()
  const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
  const id = await web.jobs.send(name, { n: 1 }) ?? ''
  // As the relay does it.
  const [row] = await rowsOf(web, name)
  await inRedis(web, name, async queue => { await queue.add(name, row?.data, { jobId: id }) })
  const { app, runs } = await worker(t, name)
  await until(async () => (await rowsOf(app, name)).length === 0)
  await until(async () => (await storedJobs(app, name))[0]?.state === 'completed')
  await app.jobs.send(name, { n: 2 })
  await until(() => runs.length === 2)
  t.same(runs.map(({ payload }) => payload.n), [1, 2])
})

t.test('a delayed job that is handed on late does not come early', async t => {
  const name = newQueue()
  const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
  const sent = Date.now()
  await web.jobs.send(name, { n: 1 }, { startAfter: 4_000 })
  await sleep(2_000)
  const { runs } = await worker(t, name)
  await until(() => runs.length === 1)
  t.ok(Date.now() - sent >= 3_900, 'as long as it was to wait')
})

t.test('a Redis that may evict jobs is named at the start', withRedis, async t => {
  const { url } = await redisServer(t)
  const redis = new Redis(url)
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
  redis.disconnect()
  const { lines } = await loggingWorker(t, { name: newQueue(), payload: Numbered, handler: async () => {} }, { JOBS_REDIS_URL: url })
  t.match(await until(() => lines.find(({ msg }) => /maxmemory-policy/.test(msg))), { level: 40, policy: 'allkeys-lru' })
})

t.test('policies are kept by the table, in the transaction that sends', async t => {
  const gate = Promise.withResolvers<void>()
  t.teardown(gate.resolve)
  const [short, stately, exclusive] = [newQueue(), newQueue(), newQueue()]
  const begun: string[] = []
  const app = await buildApp(t, { ROLE: 'all' }, fastify => {
    for (const [name, policy] of [[short, 'short'], [stately, 'stately'], [exclusive, 'exclusive']] as const) {
      fastify.jobs.define({ name, policy, payload: Numbered, handler: async ({ payload }) => { begun.push(`${policy} ${payload.n}`); await gate.promise } })
    }
  })
  const first = async (name: string, policy: string) => {
    t.ok(await app.jobs.send(name, { n: 1 }))
    await until(() => begun.includes(`${policy} 1`))
    await until(async () => (await rowsOf(app, name))[0]?.state === 'running')
  }
  await first(short, 'short')
  t.ok(await app.jobs.send(short, { n: 2 }, { startAfter: 60_000 }), 'one runs, one may wait')
  t.equal(await app.jobs.send(short, { n: 3 }), null)
  await first(stately, 'stately')
  t.ok(await app.jobs.send(stately, { n: 2 }))
  t.equal(await app.jobs.send(stately, { n: 3 }), null)
  await first(exclusive, 'exclusive')
  t.equal(await app.jobs.send(exclusive, { n: 2 }), null)
  t.notOk(begun.includes('stately 2'), 'one runs at a time')
  gate.resolve()
  await until(() => begun.includes('stately 2'))
  await until(async () => (await rowsOf(app, exclusive)).length === 0)
  t.ok(await app.jobs.send(exclusive, { n: 4 }))
})

t.test('an id that was sent to a queue with a policy stays known when its job has ended, and holds up no other', async t => {
  const name = newQueue()
  const { app, runs } = await worker(t, name, { policy: 'key_strict_fifo' })
  const id = randomUUID()
  t.equal(await app.jobs.send(name, { n: 1 }, { singletonKey: 'a', id }), id)
  await until(async () => (await rowsOf(app, name))[0]?.state === 'sent')
  t.equal(await app.jobs.send(name, { n: 2 }, { singletonKey: 'a', id }), null)
  await app.jobs.send(name, { n: 3 }, { singletonKey: 'a' })
  await until(async () => runs.length === 2 && (await rowsOf(app, name)).length === 1)
  t.same(runs.map(({ payload }) => payload.n), [1, 3])
})

t.test('a dead job whose id was sent to a queue with a policy takes its place again when it is retried', async t => {
  const name = newQueue()
  let isFit = false
  const { app, runs } = await worker(t, name, { policy: 'exclusive', retry: { limit: 0 }, handler: async () => { if (!isFit) throw new Error('not well') } })
  const id = randomUUID()
  await app.jobs.send(name, { n: 1 }, { id })
  await until(async () => (await deadJobs(app, name)).length === 1 && (await rowsOf(app, name))[0]?.state === 'sent')
  isFit = true
  await withJobs(app, async admin => { t.match(await admin.retry([id]), [{ done: `is back on ${name}` }]) })
  await until(() => runs.length === 2)
  await until(async () => (await rowsOf(app, name))[0]?.state === 'sent')
  t.same((await rowsOf(app, name)).map(({ slot }) => slot), [null])
})

t.test('a job that is cancelled while it is handed on is taken back from Redis', async t => {
  const name = newQueue()
  const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
  const id = await web.jobs.send(name, { n: 1 }) ?? ''
  const cancelled = await web.prisma.$transaction(async tx => {
    // As the relay does it.
    const sql = sqlOf(tx)
    const jobs = (await next(sql, 1_000, 1_000_000)).jobs.filter(job => job.queue === name)
    const answer = withJobs(web, async admin => await admin.cancel([id]))
    await sleep(500)
    await inRedis(web, name, async (queue, store) => {
      await store.note([name])
      for (const { id, data } of jobs) await queue.add(name, data, { jobId: id })
    })
    await handed(sql, jobs)
    return { answer }
  })
  t.match(await cancelled.answer, [{ done: 'is cancelled' }])
  t.equal(await inRedis(web, name, async queue => await queue.getJob(id)), undefined)
  t.match(await storedJobs(web, name), [{ id, state: 'cancelled' }])
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

t.test('many large payloads are handed on a few at a time, and a small one behind them', async t => {
  const name = newQueue()
  const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
  // As another release may have sent them.
  await web.prisma.$executeRaw`INSERT INTO outgoing_jobs (id, queue, data, attempts) SELECT gen_random_uuid(), ${name}, jsonb_build_object('payload', jsonb_build_object('n', n), 'ballast', repeat('x', 1500000)), 1 FROM generate_series(1, 10) n`
  await web.jobs.send(name, { n: 11 })
  await web.prisma.$transaction(async tx => {
    const sql = sqlOf(tx)
    const { jobs, hasMore } = await next(sql, 500, 4_000_000)
    t.same([jobs.length, hasMore], [2, true])
    t.same((await next(sql, 1, 1_000)).jobs.length, 1, 'one at least')
    t.same((await next(sql, 11, 40_000_000)).hasMore, true)
    t.match(await next(sql, 500, 40_000_000), { jobs: { length: 11 }, hasMore: false })
  })
  const { runs } = await worker(t, name)
  await until(() => runs.length === 11)
  t.same(runs.map(({ payload }) => payload.n).sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
})

t.test('an id is forgotten after a week, with its job that is done, and not while its job is dead', async t => {
  const name = newQueue()
  const { app, runs } = await worker(t, name, { retry: { limit: 0 }, handler: async ({ payload }) => { if (payload.n === 2) throw new Error('two') } })
  const [done, dead] = [randomUUID(), randomUUID()]
  await app.jobs.send(name, { n: 1 }, { id: done })
  await app.jobs.send(name, { n: 2 }, { id: dead })
  await until(async () => (await deadJobs(app, name)).length === 1 && (await storedJobs(app, name)).length === 2)
  await until(async () => (await rowsOf(app, name)).every(({ state }) => state === 'sent'))
  await app.prisma.outgoingJob.updateMany({ where: { queue: name }, data: { touchedAt: new Date(Date.now() - 8 * 86_400_000) } })
  await until(async () => (await rowsOf(app, name)).every(({ id }) => id === dead))
  t.equal(await app.jobs.send(name, { n: 2 }, { id: dead }), null)
  t.equal(await app.jobs.send(name, { n: 1 }, { id: done }), done)
  await until(() => runs.length === 3)
  t.same(runs.map(({ payload }) => payload.n).sort(), [1, 1, 2])
})

t.test('what BullMQ does not take is not put into the table, where it would hold up all that follows', async t => {
  const { app } = await worker(t, newQueue(), {}, { ROLE: 'web' })
  const row = { id: randomUUID(), queue: 'one', data: {}, attempts: 1, state: 'waiting', start: 'now' }
  for (const bad of [{ queue: '' }, { queue: 'one:two' }, { attempts: 0 }, { start: 'infinity' }, { state: 'sending' }]) {
    const { id, queue, data, attempts, state, start } = { ...row, ...bad }
    await t.rejects(app.prisma.$executeRaw`INSERT INTO outgoing_jobs (id, queue, data, attempts, state, start_after) VALUES (${id}::uuid, ${queue}, ${data}::jsonb, ${attempts}, ${state}, ${start}::timestamptz)`, { message: /outgoing_jobs_\w+_check/ }, JSON.stringify(bad))
  }
})

t.test('what has ended unheard is not waited for, and what was lost with Redis is handed on again', withRedis, async t => {
  const redis = await redisServer(t)
  const name = newQueue()
  const { app: web } = await worker(t, name, { policy: 'key_strict_fifo' }, { ROLE: 'web', JOBS_REDIS_URL: redis.url })
  for (const n of [1, 2]) await web.jobs.send(name, { n }, { singletonKey: 'a' })
  // As if the first had been in a Redis that is gone by now.
  await web.prisma.outgoingJob.updateMany({ where: { queue: name, data: { path: ['payload', 'n'], equals: 1 } }, data: { state: 'handed', touchedAt: new Date(Date.now() - 60_000) } })
  const { runs } = await worker(t, name, { policy: 'key_strict_fifo' }, { JOBS_REDIS_URL: redis.url })
  await until(() => runs.length === 2)
  t.same(runs.map(({ payload }) => payload.n), [1, 2])
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

// The outbox between the database and Redis: what the table keeps, and what of it is handed on.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { handed, next } from '../../plugins/jobs/bullmq/outbox.ts'
import { sqlOf } from '../../plugins/jobs/bullmq/relay.ts'
import { buildApp } from '../helpers/app.ts'
import { inRedis, rowsOf } from '../helpers/job-store.ts'
import { deadJobs, storedJobs, withJobs } from '../helpers/jobs.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'
import { newQueue, Numbered, worker } from '../helpers/workers.ts'

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

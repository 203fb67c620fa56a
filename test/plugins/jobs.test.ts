import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import service from '../../app.ts'
import type { RunningJob } from '../../plugins/jobs/index.ts'
import type { JobDefinition } from '../../plugins/jobs/types.ts'
import { serverOptions } from '../../server.ts'
import { buildApp, testConfig } from '../helpers/app.ts'
import { makeDue, putStranger } from '../helpers/job-store.ts'
import { deadJobs, storedJobs, withJobs } from '../helpers/jobs.ts'
import { until } from '../helpers/until.ts'
import { loggingWorker, newQueue, Numbered, worker } from '../helpers/workers.ts'

type Job = RunningJob<{ n: number }>
type Definition = Partial<JobDefinition<typeof Numbered>>

/** As a handler that heeds its signal ends. */
const stopped = async (signal: AbortSignal) => {
  await once(signal, 'abort')
  signal.throwIfAborted()
}

t.test('sending', async (t) => {
  const name = newQueue()
  const single = newQueue()
  const runs: Job[] = []
  const app = await buildApp(t, { ROLE: 'all' }, fastify => {
    fastify.jobs.define({ name, payload: Numbered, concurrency: 1, handler: async job => { runs.push(job) } })
    fastify.jobs.define({ name: single, payload: Numbered, policy: 'exclusive', handler: async () => {} })
  })
  const ran = async (n: number) => await until(() => runs.find(({ payload }) => payload.n === n))

  await t.test('a job is run with its payload and the id that sending it gave', async (t) => {
    const id = await app.jobs.send(name, { n: 1 })
    t.match(await ran(1), { id, payload: { n: 1 }, attempt: 1 })
    await until(async () => (await storedJobs(app, name))[0]?.state === 'completed')
  })

  await t.test('in a transaction that is rolled back there was none, in one that commits there is one', async (t) => {
    await t.rejects(app.prisma.$transaction(async tx => {
      await app.jobs.send(name, { n: 2 }, { tx })
      throw new Error('rolled back')
    }), /rolled back/)
    await app.prisma.$transaction(async tx => {
      await app.jobs.send(name, { n: 3 }, { tx })
    })
    await ran(3)
    t.same((await storedJobs(app, name)).map(({ payload }) => payload), [{ n: 1 }, { n: 3 }])
  })

  await t.test('a delayed job waits for its time', async (t) => {
    const state = async (n: number) => (await storedJobs(app, name)).find(({ payload }) => (payload as { n: number }).n === n)?.state
    await app.jobs.send(name, { n: 4 }, { startAfter: 3_600_000 })
    await app.jobs.send(name, { n: 5 }, { startAfter: new Date(Date.now() + 3_600_000) })
    await app.jobs.send(name, { n: 6 })
    await ran(6)
    t.same([await state(4), await state(5)], ['created', 'created'])
    await makeDue(app, name)
    await ran(4)
    await ran(5)
  })

  await t.test('the higher priority is first', async (t) => {
    await app.prisma.$transaction(async tx => {
      for (const n of [10, 12, 11]) await app.jobs.send(name, { n }, { tx, priority: n })
    })
    await ran(10)
    t.same(runs.slice(-3).map(({ payload }) => payload.n), [12, 11, 10])
  })

  await t.test('an id is sent once', async (t) => {
    const id = randomUUID()
    t.same([await app.jobs.send(name, { n: 20 }, { id: id.toUpperCase() }), await app.jobs.send(name, { n: 21 }, { id })], [id, null])
    await ran(20)
    t.match(await withJobs(app, async ({ cancel }) => await cancel([id.toUpperCase()])), [{ id, problem: /is (active|completed)/ }], 'whatever its spelling')
  })

  await t.test('a queue whose policy has room for one takes no second; each singletonKey counts by itself', async (t) => {
    const send = async (singletonKey: string) => await app.jobs.send(single, { n: 1 }, { singletonKey, startAfter: 60_000 })
    t.ok(await send('a'))
    t.equal(await send('a'), null)
    t.ok(await send('b'))
    await t.rejects(app.jobs.send(name, { n: 1 }, { singletonKey: 'a' }), /no policy/, 'where it would count for nothing it is a mistake')
  })

  await t.test('what does not fit the schema, or any queue, is not sent', async (t) => {
    const before = (await storedJobs(app, name)).length
    await t.rejects(app.jobs.send(name, { n: 'one' }), { name: 'InvalidPayloadError', message: /payload\/n must be integer/ })
    await t.rejects(app.jobs.send(name, { n: 1, more: 1 }), /additional properties.*"more"/)
    await t.rejects(app.jobs.send('no-such-job', { n: 1 }), /no job "no-such-job"/)
    for (const startAfter of [NaN, Infinity, new Date('never')]) await t.rejects(app.jobs.send(name, { n: 1 }, { startAfter }), /startAfter is no time/)
    await t.rejects(app.jobs.send(name, { n: 1 }, { id: 'one' }), /its id is no UUID/)
    t.equal((await storedJobs(app, name)).length, before)
  })
})

t.test('text that the database cannot hold is refused by the sender, and spoils no transaction', async (t) => {
  const name = newQueue()
  const app = await buildApp(t, {}, fastify => fastify.jobs.define({ name, payload: Type.Object({ texts: Type.Record(Type.String(), Type.String()) }), handler: async () => {} }))
  // Connected before the transaction begins: it may be the only one that the database has at a time.
  const jobs = await app.jobs.for({ origin: {} })
  await app.prisma.$transaction(async tx => {
    const send = async (texts: Record<string, string>) => await jobs.send(name, { texts }, { tx })
    const refused = { name: 'InvalidPayloadError', message: /NUL characters or unpaired surrogates \(in "/ }
    for (const texts of [{ a: 'x\0' }, { a: 'half \ud800' }, { 'key\0': 'x' }] as Record<string, string>[]) await t.rejects(send(texts), refused)
    await send({ a: 'no NUL: \\u0000; a whole pair: \ud83d\ude00' })
  })
  t.match(await storedJobs(app, name), [{ payload: { texts: { a: 'no NUL: \\u0000; a whole pair: 😀' } } }])
})

t.test('ROLE=web sends and does not run', async (t) => {
  const name = newQueue()
  const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
  await web.jobs.send(name, { n: 1 })
  const { runs } = await worker(t, name)
  await until(() => runs.length === 1)
  t.equal((await storedJobs(web, name)).length, 1)
})

t.test('ROLE=worker serves none of what clients read, and its health and the kinds of problems all the same', async (t) => {
  const { app } = await worker(t, newQueue(), {}, { ROLE: 'worker' })
  for (const url of ['/products', '/docs', '/openapi.json', '/asyncapi.json']) t.equal((await app.inject(url)).statusCode, 404, url)
  t.equal((await app.inject('/.well-known/jwks.json')).statusCode, 404)
  for (const url of ['/health/live', '/problems/not-found']) t.equal((await app.inject(url)).statusCode, 200, url)
  await until(async () => (await app.inject('/health/ready')).statusCode === 200)
})

t.test('a job that fails is tried again, and after its last attempt is in the dead letter queue with the reason', async (t) => {
  const name = newQueue()
  const { app, runs } = await worker(t, name, { retry: { limit: 1, delaySeconds: 0 }, handler: async ({ attempt }) => { throw new RangeError(`attempt ${attempt} failed`) } })
  const id = await app.jobs.send(name, { n: 1 })
  const dead = await until(async () => (await deadJobs(app, name))[0])
  t.match(dead, { id, payload: { n: 1 }, attempts: 2, reason: 'RangeError: attempt 2 failed' })
  t.same(runs.map(({ attempt, id }) => [attempt, id]), [[1, id], [2, id]])
})

t.test('a dead job that is retried begins anew, under its id, with all its attempts', async t => {
  const name = newQueue()
  let isBroken = true
  const { app, runs } = await worker(t, name, { retry: { limit: 1, delaySeconds: 0 }, handler: async () => { if (isBroken) throw new Error('broken') } })
  const id = await app.jobs.send(name, { n: 1 }) ?? ''
  await until(async () => (await deadJobs(app, name)).length === 1)
  isBroken = false
  t.match(await withJobs(app, async ({ retry }) => await retry([id])), [{ id, done: `is back on ${name}` }])
  await until(async () => (await storedJobs(app, name))[0]?.state === 'completed')
  t.same(runs.map(({ id, attempt }) => [id, attempt]), [[id, 1], [id, 2], [id, 1]])
})

t.test('a dead or cancelled job for which the policy of its queue has no room any more is left alone, and comes back when there is', async t => {
  const name = newQueue()
  const { app } = await worker(t, name, { policy: 'exclusive', retry: { limit: 0 }, handler: async ({ payload: { n } }) => { if (n === 1) throw new Error('never') } })
  const dead = await app.jobs.send(name, { n: 1 }) ?? ''
  await until(async () => (await deadJobs(app, name)).length === 1)
  const cancelled = await app.jobs.send(name, { n: 2 }, { startAfter: 60_000 }) ?? ''
  await withJobs(app, async admin => {
    t.match(await admin.retry([dead]), [{ problem: /no room/ }])
    t.match(await admin.cancel([cancelled]), [{ done: 'is cancelled' }])
  })
  const last = await app.jobs.send(name, { n: 3 }, { startAfter: 60_000 }) ?? ''
  await withJobs(app, async admin => {
    t.match(await admin.retry([dead, cancelled]), [{ problem: /no room/ }, { problem: /no room/ }])
    await admin.cancel([last])
    t.match(await admin.retry([cancelled]), [{ done: `is back on ${name}` }])
    t.match(await admin.retry([dead]), [{ problem: /no room/ }])
    await admin.cancel([cancelled])
    t.match(await admin.retry([dead]), [{ done: `is back on ${name}` }])
  })
})

t.test('a payload that no longer fits after a deploy is dead at once, with what is wrong', async (t) => {
  const name = newQueue()
  const before = await buildApp(t, { ROLE: 'web' }, fastify => fastify.jobs.define({ name, payload: Type.Object({ old: Type.String() }), handler: async () => {} }))
  await before.jobs.send(name, { old: 'x' })
  const { app, runs } = await worker(t, name)
  const dead = await until(async () => (await deadJobs(app, name))[0])
  t.match(dead, { attempts: 1, reason: /does not fit the schema: .*required property 'n'/ })
  t.same(runs, [], 'the handler never saw it')

  await putStranger(app, name)
  await until(async () => (await deadJobs(app, name)).length === 2)
})

t.test('a handler that takes too long has its signal fired, and the job is tried again', async (t) => {
  const name = newQueue()
  const { app, runs } = await worker(t, name, {
    timeoutSeconds: 1,
    retry: { limit: 1, delaySeconds: 0 },
    handler: async ({ attempt, signal }) => {
      if (attempt === 1) await stopped(signal)
    }
  })
  await app.jobs.send(name, { n: 1 })
  await until(async () => (await storedJobs(app, name))[0]?.state === 'completed')
  t.equal(runs.length, 2)
  t.match(String(runs[0]?.signal.reason), /time-out of 1 s/)
})

t.test('what is kept of an attempt that was ended is why, not how its handler ended for that', async (t) => {
  const name = newQueue()
  const { app } = await worker(t, name, { timeoutSeconds: 1, retry: { limit: 0 }, handler: async () => { throw new DOMException('The operation was aborted', 'AbortError') } })
  const slow = newQueue()
  const { app: other } = await worker(t, slow, { timeoutSeconds: 1, retry: { limit: 0 }, handler: async ({ signal }) => { await once(signal, 'abort'); throw new DOMException('The operation was aborted', 'AbortError') } })
  await app.jobs.send(name, { n: 1 })
  await other.jobs.send(slow, { n: 1 })
  const reason = async (queue: string) => (await until(async () => (await deadJobs(app, queue))[0])).reason
  t.equal(await reason(name), 'AbortError: The operation was aborted', 'one that ended by itself')
  t.equal(await reason(slow), 'Error: The time-out of 1 s has passed')
})

t.test('never more handlers run at a time than `concurrency` says, whatever the batch', async (t) => {
  const name = newQueue()
  const gate = Promise.withResolvers<void>()
  let running = 0
  let most = 0
  const { app, runs } = await worker(t, name, {
    concurrency: 4,
    batch: 3,
    handler: async () => {
      most = Math.max(most, ++running)
      await gate.promise
      running--
    }
  })
  // Connected before the transaction begins: it may be the only one that the database has at a time.
  const jobs = await app.jobs.for({ origin: {} })
  await app.prisma.$transaction(async tx => {
    for (let n = 0; n < 12; n++) await jobs.send(name, { n }, { tx })
  })
  await until(() => running === 4)
  // Every worker has looked again by then.
  await app.jobs.send(name, { n: 12 })
  await until(async () => (await storedJobs(app, name)).filter(({ state }) => state === 'active').length >= 4)
  gate.resolve()
  await until(() => runs.length === 13 && running === 0)
  t.equal(most, 4)
})

t.test('a handler that ignores its signal is left alone: the queue goes on, and what it ends with counts for nothing', async (t) => {
  const name = newQueue()
  const hang = Promise.withResolvers<void>()
  const { app, runs } = await worker(t, name, { timeoutSeconds: 1, concurrency: 1, retry: { limit: 0 }, handler: async ({ payload }) => { if (payload.n === 1) await hang.promise } })
  await app.jobs.send(name, { n: 1 })
  await until(() => runs.length === 1)
  await app.jobs.send(name, { n: 2 })
  await until(() => runs.length === 2)
  const dead = await until(async () => (await deadJobs(app, name))[0])
  t.match(dead.reason, /ignores its signal/)
  hang.resolve()
  await until(async () => (await storedJobs(app, name)).some(({ state, payload }) => state === 'completed' && (payload as { n: number }).n === 2))
  t.equal((await deadJobs(app, name)).length, 1, 'it stays dead')
})

t.test('at shutdown what runs may end; what does not has its signal fired and is handed back', async (t) => {
  const name = newQueue()
  const begun: number[] = []
  const { app } = await worker(t, name, {
    handler: async ({ payload, signal }) => {
      begun.push(payload.n)
      if (payload.n === 1) await until(() => begun.length === 3)
      else await stopped(signal)
    }
  }, { SHUTDOWN_GRACE_MS: 2_000 })
  const { app: observer } = await worker(t, name, {}, { ROLE: 'web' })
  await app.jobs.send(name, { n: 1 })
  await app.jobs.send(name, { n: 2 })
  await until(() => begun.length === 2)
  const closed = app.close()
  begun.push(3)
  await closed
  t.same((await storedJobs(observer, name)).map(({ state }) => state).sort(), ['completed', 'retry'])
  await observer.jobs.send(name, { n: 4 })
  t.notOk(begun.includes(4), 'nothing is fetched any more')
})

t.test('a job that is handed back has lost no attempt, waits for nothing, and is no failure in the log', async (t) => {
  const name = newQueue()
  const { app: observer } = await worker(t, name, {}, { ROLE: 'web' })
  const { app, lines } = await loggingWorker(t, { name, payload: Numbered, retry: { limit: 0 }, handler: async ({ signal }) => { await once(signal, 'abort'); throw new DOMException('aborted', 'AbortError') } }, { SHUTDOWN_GRACE_MS: 2_000 })
  const id = await observer.jobs.send(name, { n: 1 })
  await until(async () => (await storedJobs(observer, name))[0]?.state === 'active')
  await app.close()
  t.match(await storedJobs(observer, name), [{ state: 'retry', reason: /shutting down/ }])
  t.match(lines.filter(({ jobId }) => jobId === id), [{ level: 30, msg: /is handed back/ }])
  const { runs } = await worker(t, name, { retry: { limit: 0 } })
  await until(async () => (await storedJobs(observer, name))[0]?.state === 'completed')
  t.match(runs, [{ id, attempt: 2 }])
})

t.test('the lines of a job say which request and which trace it comes from, what its handler logs too', async (t) => {
  const name = newQueue()
  const { app, lines } = await loggingWorker(t, { name, payload: Numbered, handler: async ({ log, jobs, payload }) => { log.info('at work'); if (payload.n === 1) await jobs.send(name, { n: 2 }) } }, {}, fastify => {
    fastify.get('/send', { config: { public: true }, schema: { hide: true } }, async request => ({ id: await (await fastify.jobs.for(request)).send(name, { n: 1 }) }))
  })

  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const send = async (traceparent: string, requestId: string) => (await app.inject({ url: '/send', headers: { traceparent, 'x-request-id': requestId } })).json().id as string
  const jobId = await send(`00-${traceId}-00f067aa0ba902b7-01`, 'the-request')
  const about = () => lines.filter(({ msg, requestId }) => requestId === 'the-request' && (msg === 'at work' || msg === 'job done'))
  await until(() => about().length === 4)
  t.match(about()[0], { msg: 'at work', queue: name, jobId, attempt: 1, traceId })
  t.ok(about().every(line => line.traceId === traceId), 'the jobs that a job sends belong to the same')

  await send('00-00000000000000000000000000000000-00f067aa0ba902b7-01', 'another-request')
  const line = await until(() => lines.find(({ msg, requestId }) => msg === 'job done' && requestId === 'another-request'))
  t.equal(line.traceId, undefined, 'what is not well-formed is left out')
})

t.test('scheduled jobs come by themselves', async (t) => {
  const { runs } = await worker(t, newQueue(), { schedule: { cron: '* * * * *', timeZone: 'Europe/Berlin', payload: { n: 7 } } })
  await until(() => runs.length === 1)
  t.match(runs[0], { payload: { n: 7 }, attempt: 1, id: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/ })
})

t.test('what is declared wrongly stops the start and is named', async (t) => {
  const bad: [definition: Definition & { name?: string }, said: RegExp][] = [
    [{ name: 'a b' }, /"a b" is not well declared: its name/],
    [{ name: 'a.dead' }, /not ending in \.dead/],
    [{ concurrency: 0 }, /concurrency is 0, expected/],
    [{ concurrency: 2, batch: 3 }, /batch is 3, expected a whole number from 1 to 2/],
    [{ timeoutSeconds: 0.5 }, /timeoutSeconds is 0.5/],
    [{ retry: { limit: -1 } }, /retry\.limit is -1/],
    [{ schedule: { cron: '* * * * *' } }, /payload of its schedule does not fit/],
    [{ schedule: { cron: 'every night', payload: { n: 1 } } }, /"bad" has a schedule that can't run/],
    [{ schedule: { cron: '0 3 * * *', timeZone: 'Europe/Atlantis', payload: { n: 1 } } }, /"bad" has a schedule that can't run.*Europe\/Atlantis/],
    [{ name: 'clean-up' }, /declared twice/]
  ]
  for (const [definition, said] of bad) {
    const config = await testConfig({ ROLE: 'all' })
    const app = Fastify(serverOptions(config)) as unknown as FastifyInstance
    await app.register(service, { config })
    await t.rejects(async () => {
      app.jobs.define({ name: 'bad', payload: Numbered, handler: async () => {}, ...definition })
      await app.ready()
    }, { message: said })
    await app.close()
  }
  const { app } = await worker(t, newQueue(), {}, { ROLE: 'web' })
  t.throws(() => app.jobs.define({ name: 'late', payload: Numbered, handler: async () => {} }), /declared too late/)
})

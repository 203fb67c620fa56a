import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { bearer, buildApp, testDatabase } from '../helpers/app.ts'
import { deadJobs, storedJobs } from '../helpers/jobs.ts'
import { createProxy } from '../helpers/proxy.ts'
import { until } from '../helpers/until.ts'
import { rows } from '../prisma/project.ts'

const METRICS_TOKEN = 'a-token-for-metrics'
const DATABASE_URL = await testDatabase()
const server = process.env.TEST_DATABASE_URL ?? ''

let queues = 0
interface Worker { app: FastifyInstance, name: string, runs: Map<number, number>, send: (n: number, options?: object) => Promise<unknown>, ran: (...numbers: number[]) => Promise<void> }

/** A worker that counts how often it runs each job. */
async function worker (t: Test, config = {}, handle: (n: number) => Promise<void> = async () => {}, limit = 10): Promise<Worker> {
  const name = `faults-${++queues}`
  const runs = new Map<number, number>()
  const app = await buildApp(t, { ROLE: 'all', METRICS_TOKEN, ...config }, fastify => {
    fastify.jobs.define({
      name,
      payload: Type.Object({ n: Type.Integer() }),
      retry: { limit, delaySeconds: 0 },
      handler: async ({ payload: { n } }) => {
        runs.set(n, (runs.get(n) ?? 0) + 1)
        await handle(n)
      }
    })
  })
  return { app, name, runs, send: async (n, options) => await app.jobs.send(name, { n }, options), ran: async (...numbers) => { await until(() => numbers.every(n => runs.has(n))) } }
}

const ready = async (app: FastifyInstance) => await app.inject({ url: '/health/ready', headers: bearer(METRICS_TOKEN) })
const isReady = async (app: FastifyInstance) => (await ready(app)).statusCode === 200
const completed = async ({ app, name }: Worker, count: number) => await until(async () => (await storedJobs(app, name)).filter(({ state }) => state === 'completed').length === count)

t.test('lost connections', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async (t) => {
  const database = new URL(DATABASE_URL).pathname.slice(1)
  const terminate = async () => await rows(server, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`)

  await t.test('while idle: the next job is run', async (t) => {
    const { app, send, ran } = await worker(t)
    await until(() => isReady(app))
    await terminate()
    await until(() => send(1).then(() => true, () => false))
    await ran(1)
  })

  await t.test('while a job runs: it is settled all the same, or run again', async (t) => {
    const gate = Promise.withResolvers<void>()
    const self = await worker(t, {}, async () => await gate.promise)
    await self.send(1)
    await self.ran(1)
    await terminate()
    gate.resolve()
    await completed(self, 1)
  })

  await t.test('again and again while jobs are fetched and settled: none is lost', async (t) => {
    const self = await worker(t)
    await until(() => isReady(self.app))
    const trouble = (async () => { for (let times = 0; times < 20; times++) { await terminate(); await sleep(60 + Math.random() * 100) } })()
    const numbers = Array.from({ length: 200 }, (_, n) => n)
    for (const n of numbers) await until(() => self.send(n, { id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` }).then(() => true, () => false))
    await trouble
    await self.ran(...numbers)
    await completed(self, numbers.length)
  })
})

t.test('a database that is away at the start, comes, goes and comes back: the process lives and goes on', async (t) => {
  const proxy = await createProxy(t, DATABASE_URL)
  const { app, send, ran } = await worker(t, { DATABASE_URL: proxy.url })
  t.equal((await ready(app)).statusCode, 503)
  await t.rejects(send(0))
  await proxy.open()
  await until(() => isReady(app))
  await send(1)
  await ran(1)
  await proxy.cut()
  t.equal((await ready(app)).statusCode, 503)
  await t.rejects(send(2))
  await proxy.open()
  await until(() => isReady(app))
  await send(3)
  await ran(3)
})

t.test('a worker whose connections die without a word works on by others', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async (t) => {
  const proxy = await createProxy(t, DATABASE_URL)
  await proxy.open()
  const { app, name, ran } = await worker(t, { DATABASE_URL: proxy.url, DATABASE_STATEMENT_TIMEOUT: 500 })
  const sender = await buildApp(t, { ROLE: 'web' }, fastify => fastify.jobs.define({ name, payload: Type.Object({ n: Type.Integer() }), handler: async () => {} }))
  await until(() => isReady(app))
  await sender.jobs.send(name, { n: 1 })
  await ran(1)
  proxy.silence()
  await sender.jobs.send(name, { n: 2 })
  await ran(2)
  await until(() => isReady(app))
})

t.test('a clock that jumps back and forth by an hour, all the time, holds up no delayed job', async (t) => {
  const self = await worker(t)
  await until(() => isReady(self.app))
  const { now } = Date
  let hours = 0
  const jumping = setInterval(() => { hours = 1 - hours }, 1)
  Date.now = () => now() - hours * 3_600_000
  t.teardown(() => {
    clearInterval(jumping)
    Date.now = now
  })
  for (const n of [1, 2, 3]) {
    await self.send(n, { startAfter: 100 })
    await self.ran(n)
  }
})

t.test('a handler may fail in any way', async (t) => {
  const odd = [async () => await Promise.reject(Object.create(null, { toString: { value: () => 'an object' } })), () => { throw Object.assign(new Error('x'.repeat(100_000)), { self: {} }) }, () => { throw new Error('\u0000 text that PostgreSQL can\'t hold') }]
  const self = await worker(t, {}, async n => odd[n]?.(), 0)
  for (const n of odd.keys()) await self.send(n)
  await self.send(odd.length)
  const dead = await until(async () => {
    const jobs = await deadJobs(self.app, self.name)
    return jobs.length === odd.length ? jobs : undefined
  })
  t.same(dead.map(({ reason }) => reason?.slice(0, 12)).sort(), ['Error:  text', 'Error: xxxxx', 'an object'])
  await completed(self, 1)
})

t.test('one that fails in the oddest way is settled by itself: the others of its batch are done, and run once', async (t) => {
  const trap = new Proxy({}, { get () { throw new Error('trap') }, getPrototypeOf () { throw new Error('trap') } })
  const wait = (retryAfterMs: unknown) => Object.assign(new Error('wait'), { retryAfterMs })
  const odd = [undefined, null, Symbol('odd'), 10n, trap, Object.create(null), wait(NaN), wait(Infinity), wait('long'), wait(1e300)]
  const name = `faults-${++queues}`
  const runs = new Map<number, number>()
  const app = await buildApp(t, { ROLE: 'all' }, fastify => fastify.jobs.define({
    name,
    payload: Type.Object({ n: Type.Integer() }),
    concurrency: 20,
    batch: 20,
    handler: async ({ payload: { n } }) => {
      runs.set(n, (runs.get(n) ?? 0) + 1)
      if (n < odd.length) throw odd[n]
    }
  }))
  // Connected before the transaction begins: it may be the only one that the database has at a time.
  const jobs = await app.jobs.for({ origin: {} })
  await app.prisma.$transaction(async tx => {
    for (let n = 0; n < odd.length + 3; n++) await jobs.send(name, { n }, { tx })
  })
  await until(() => runs.size === odd.length + 3)
  await until(async () => {
    const jobs = (await storedJobs(app, name)).filter(({ reason }) => reason !== null)
    return jobs.length === odd.length ? jobs : undefined
  })
  const well = (await storedJobs(app, name)).filter(({ payload }) => (payload as { n: number }).n >= odd.length)
  t.same(well.map(({ state }) => state), ['completed', 'completed', 'completed'])
  for (let n = odd.length; n < odd.length + 3; n++) t.equal(runs.get(n), 1)
})

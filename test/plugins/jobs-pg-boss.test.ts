// What is pg-boss's alone: the rows that it keeps.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { getRollbackPlans } from 'pg-boss'
import t from 'tap'
import { jobsSchema, neededVersion, storage } from '../../plugins/jobs/pg-boss/schema.ts'
import { bearer, buildApp, newProduct, registered, testDatabase } from '../helpers/app.ts'
import { deadJobs, storedJobs, withJobs } from '../helpers/jobs.ts'
import { withReservations } from '../helpers/reservations.ts'
import { until } from '../helpers/until.ts'
import { rows } from '../prisma/project.ts'
import { loggingWorker, newQueue, Numbered, worker } from '../helpers/workers.ts'

const INDEXES = "SELECT indexname FROM pg_indexes WHERE schemaname = 'old_pgboss'"
const METRICS_TOKEN = 'a-token-for-metrics'
const DATABASE_URL = await testDatabase()
const ready = async (app: FastifyInstance) => await app.inject({ url: '/health/ready', headers: bearer(METRICS_TOKEN) })

t.test('a job that runs in another row than it was sent in keeps its id, in the log and for its handler', async (t) => {
  const name = newQueue()
  const ids: string[] = []
  const { app, lines } = await loggingWorker(t, { name, payload: Numbered, handler: async ({ id }) => { ids.push(id) } })
  const [sent, scheduled] = [randomUUID(), randomUUID()]
  await app.jobs.send(name, { n: 1 })
  await until(() => ids.length === 1)
  // As a retry from the dead letter queue makes them, of a job that was sent and of one of a schedule, which has no id in it.
  await app.prisma.$executeRaw`INSERT INTO pgboss.job (name, data, source_root_id) VALUES
    (${name}, jsonb_build_object('id', ${sent}::text, 'payload', '{"n": 2}'::jsonb), ${sent}::uuid), (${name}, '{"payload": {"n": 3}}', ${scheduled}::uuid)`
  await until(() => ids.length === 3)
  t.same(ids.slice(1).toSorted(), [sent, scheduled].toSorted())
  await until(() => lines.filter(({ msg }) => msg === 'job done').length === 3)
  const rows = (await storedJobs(app, name)).map(({ rowId }) => rowId)
  const [first, ...others] = lines.filter(({ msg }) => msg === 'job done')
  t.match(first, { jobId: ids[0], rowId: undefined })
  for (const { jobId, rowId } of others) t.ok(ids.includes(jobId as string) && rows.includes(rowId as string))
})

t.test('a dead job is in a queue of its own, and stands for one that failed', async (t) => {
  const name = newQueue()
  const { app } = await worker(t, name, { retry: { limit: 0 }, handler: async () => { throw new Error('never') } })
  const id = await app.jobs.send(name, { n: 1 }) ?? ''
  const dead = await until(async () => (await deadJobs(app, name))[0])
  t.match(dead, { id })
  t.not(dead.rowId, id)
  t.match(await withJobs(app, async ({ list }) => await list({ queue: name, state: 'failed', limit: 10 })), { jobs: [{ id, rowId: id }], total: 1 })
  await withJobs(app, async ({ retry }) => await retry([id]))
  t.match(await withJobs(app, async ({ retry }) => await retry([dead.rowId])), [{ problem: 'there is no such job' }])
})

t.test('scheduled jobs', async (t) => {
  const name = newQueue()
  const schedule = { cron: '* * * * *', timeZone: 'Europe/Berlin', payload: { n: 7 } }
  const schedules = async (app: FastifyInstance) => await app.prisma.$queryRaw<object[]>`SELECT cron, timezone FROM pgboss.schedule WHERE name = ${name}`

  await t.test('come by themselves, in their time zone', async (t) => {
    const { app, runs } = await worker(t, name, { schedule })
    await until(() => runs.length === 1)
    t.same(runs[0]?.payload, { n: 7 })
    t.same(await schedules(app), [{ cron: '* * * * *', timezone: 'Europe/Berlin' }])
  })

  await t.test('change with their declaration, and end with it', async (t) => {
    const changed = await worker(t, name, { schedule: { ...schedule, cron: '0 4 * * *' } })
    await until(async () => (await changed.app.inject('/health/ready')).statusCode === 200)
    t.same(await schedules(changed.app), [{ cron: '0 4 * * *', timezone: 'Europe/Berlin' }])
    const without = await worker(t, name)
    await until(async () => (await without.app.inject('/health/ready')).statusCode === 200)
    t.same(await schedules(without.app), [])
  })
})

t.test('options that a release changes are those of the queue', async (t) => {
  const name = newQueue()
  const queue = async (app: FastifyInstance) => (await app.prisma.$queryRaw<object[]>`SELECT retry_limit, expire_seconds FROM pgboss.queue WHERE name = ${name}`)[0]
  const { app: first } = await worker(t, name, { retry: { limit: 3 } })
  await first.jobs.send(name, { n: 1 })
  t.match(await queue(first), { retry_limit: 3, expire_seconds: 90 })
  const { app: second } = await worker(t, name, { retry: { limit: 4 }, timeoutSeconds: 10 })
  await second.jobs.send(name, { n: 1 })
  t.match(await queue(second), { retry_limit: 4, expire_seconds: 40 })
})

t.test('while the database is away for the jobs, what sends one is refused with 503 and leaves nothing', async (t) => {
  const app = await buildApp(t, {}, withReservations)
  const { token } = await registered(app)
  const { id: productId } = await newProduct(app, { stock: 5 })
  await app.prisma.$executeRaw`ALTER SCHEMA pgboss RENAME TO pgboss_away`
  t.teardown(() => rows(DATABASE_URL, 'ALTER SCHEMA pgboss_away RENAME TO pgboss').catch(() => {}))
  const reserve = async (service: FastifyInstance) => await service.inject({ method: 'POST', url: '/reservations', headers: bearer(token), payload: { productId, quantity: 1 } })
  t.equal((await reserve(await buildApp(t, {}, withReservations))).statusCode, 503)
  t.equal((await app.inject(`/products/${productId}`)).json().stock, 5)
  await app.prisma.$executeRaw`ALTER SCHEMA pgboss_away RENAME TO pgboss`
  t.equal((await reserve(app)).statusCode, 201)
})

t.test('without its tables the service serves and is not ready; once they are there it goes on by itself', async (t) => {
  const elsewhere = new URL(DATABASE_URL)
  elsewhere.searchParams.set('schema', 'elsewhere')
  t.equal(jobsSchema(elsewhere.href), 'elsewhere_pgboss')
  const { app } = await worker(t, newQueue(), {}, { METRICS_TOKEN, DATABASE_URL: elsewhere.href })
  const detail = async () => (await ready(app)).json().checks.jobs.detail
  t.equal(await detail(), 'the tables of the jobs are missing: run npm run db:migrate')
  t.equal((await app.inject('/health/live')).statusCode, 200)
  t.equal(await storage.apply(elsewhere.href), true)
  t.equal(await storage.apply(elsewhere.href), false)
  await until(async () => (await ready(app)).json().checks.jobs.status === 'ok')
})

t.test('tables of an earlier release are named, and migrated; those of a later one are left alone', async (t) => {
  const elsewhere = new URL(DATABASE_URL)
  elsewhere.searchParams.set('schema', 'old')
  const [first, second] = await Promise.all([storage.apply(elsewhere.href), storage.apply(elsewhere.href)])
  t.same([first, second].sort(), [false, true], 'two at once: one does it')
  const complete = (await rows(DATABASE_URL, INDEXES)).length
  await rows(DATABASE_URL, getRollbackPlans('old_pgboss', neededVersion()))
  const { app } = await worker(t, newQueue(), {}, { METRICS_TOKEN, DATABASE_URL: elsewhere.href })
  const detail = async () => (await ready(app)).json().checks.jobs.detail
  t.equal(await detail(), 'the tables of the jobs are old: run npm run db:migrate')
  t.equal(await storage.apply(elsewhere.href), true)
  t.equal((await rows(DATABASE_URL, INDEXES)).length, complete, 'with the indexes that are built outside the transaction')
  await until(async () => (await ready(app)).json().checks.jobs.status === 'ok')
  await rows(DATABASE_URL, `UPDATE old_pgboss.version SET version = ${neededVersion() + 1}`)
  t.equal((await ready(app)).json().checks.jobs.status, 'ok', 'who runs goes on')
  const { app: later } = await worker(t, newQueue(), {}, { METRICS_TOKEN, DATABASE_URL: elsewhere.href })
  t.equal((await ready(later)).json().checks.jobs.detail, 'the tables of the jobs are of a later release')
  t.equal(await storage.apply(elsewhere.href), false)
})

t.test('where the next attempt cannot be put off, the job is tried again in its usual time, and the others of its batch are done', async (t) => {
  const name = newQueue()
  const runs: number[] = []
  const app = await buildApp(t, { ROLE: 'all' }, fastify => fastify.jobs.define({
    name,
    payload: Numbered,
    retry: { limit: 3, delaySeconds: 0 },
    concurrency: 2,
    batch: 2,
    handler: async ({ payload: { n }, attempt }) => {
      runs.push(n)
      if (n === 0 && attempt === 1) throw Object.assign(new Error('wait'), { retryAfterMs: 3_600_000 })
    }
  }))
  await app.prisma.$executeRawUnsafe("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$")
  await app.prisma.$executeRawUnsafe(`CREATE TRIGGER refuse BEFORE UPDATE ON pgboss.job_common FOR EACH ROW WHEN (OLD.name = '${name}' AND OLD.state = 'retry' AND NEW.state = 'retry') EXECUTE FUNCTION refuse()`)
  // Connected before the transaction begins: it may be the only one that the database has at a time.
  const jobs = await app.jobs.for({ origin: {} })
  await app.prisma.$transaction(async tx => {
    for (const n of [0, 1]) await jobs.send(name, { n }, { tx })
  })
  await until(async () => (await storedJobs(app, name)).every(({ state }) => state === 'completed'))
  t.same(runs.toSorted(), [0, 0, 1])
})

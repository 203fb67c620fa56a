// What is agenda's alone: the rows that it keeps, and whose they are.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { getCreateTableSQL } from '@agendajs/postgres-backend'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createAgenda } from '../../plugins/jobs/agenda/agenda.ts'
import { scheduleOf } from '../../plugins/jobs/agenda/settings.ts'
import { withClient } from '../../plugins/jobs/client.ts'
import { buildApp, testDatabase } from '../helpers/app.ts'
import { deadJobs, storedJobs, withJobs } from '../helpers/jobs.ts'
import { until } from '../helpers/until.ts'
import { loggingWorker, newQueue, Numbered, worker } from '../helpers/workers.ts'

const DATABASE_URL = await testDatabase()
/** Longer than a worker may give no sign of life. */
const LONG_MS = 14_000
const rowsOf = async ({ prisma }: FastifyInstance, name: string) => await prisma.agendaJob.findMany({ where: { name }, orderBy: { position: 'asc' } })
const completed = async (app: FastifyInstance, name: string) => (await storedJobs(app, name)).filter(({ state }) => state === 'completed').length
/** As if a worker had locked the jobs of a queue, and had been killed then. */
const killed = async ({ prisma }: FastifyInstance, name: string) => await prisma.$executeRaw`
  UPDATE agenda_jobs SET locked_at = now() - interval '1 minute', last_modified_by = ${randomUUID()}, attempts = attempts + 1 WHERE name = ${name} AND locked_at IS NULL`

t.test('the table has what agenda\'s own has', async t => {
  const columns = async (schema: string) => await withClient(DATABASE_URL, async client => {
    const { rows } = await client.query<{ name: string, type: string }>(`SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_schema = ${schema} AND table_name = 'agenda_jobs'`)
    return new Map(rows.map(({ name, type }) => [name, type]))
  })
  const ours = await columns('current_schema()')
  await withClient(DATABASE_URL, async client => { await client.query(`CREATE SCHEMA agendas; ${getCreateTableSQL('agenda_jobs').replace('"agenda_jobs"', 'agendas.agenda_jobs')}`) })
  for (const [name, type] of await columns("'agendas'")) t.equal(ours.get(name), type, name)
})

t.test('what another program puts on a queue is held against its schema, whatever it is, and the others run', async t => {
  const name = newQueue()
  const { app, runs } = await worker(t, name)
  const { agenda, pool } = createAgenda(app.databaseUrl)
  t.teardown(() => pool.end())
  const odd = [undefined, null, 7, [], { payload: { n: 'one' } }, { payload: null }]
  for (const data of odd) await agenda.now(name, data)
  await app.jobs.send(name, { n: 1 })
  await until(async () => (await deadJobs(app, name)).length === odd.length)
  await until(async () => await completed(app, name) === 1)
  t.ok((await deadJobs(app, name)).every(({ reason, attempts }) => /does not fit the schema/.test(reason ?? '') && attempts === 1))
  t.same(runs.map(({ payload }) => payload), [{ n: 1 }])
})

t.test('workers that die', async t => {
  await t.test('a job whose worker was killed runs elsewhere, which counts as a failed attempt', async t => {
    const name = newQueue()
    const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
    const id = await web.jobs.send(name, { n: 1 })
    await killed(web, name)
    const { runs } = await worker(t, name)
    await until(async () => await completed(web, name) === 1)
    t.match(runs, [{ id, attempt: 2 }])
  })

  await t.test('one that has no attempt left is dead, and said so', async t => {
    const name = newQueue()
    const { app: web } = await worker(t, name, { retry: { limit: 0 } }, { ROLE: 'web' })
    const id = await web.jobs.send(name, { n: 1 })
    await killed(web, name)
    const { lines } = await loggingWorker(t, { name, payload: Numbered, retry: { limit: 0 }, handler: async () => { t.fail('it is not begun again') } })
    t.match(await until(async () => (await deadJobs(web, name))[0]), { id, reason: /no sign of life/ })
    t.match(await until(() => lines.find(({ jobId }) => jobId === id)), { level: 50, msg: /has ended its process too often/ })
  })

  await t.test('one that takes long is nobody else\'s while its worker lives', async t => {
    const name = newQueue()
    const { app, runs } = await worker(t, name, { handler: async () => { await sleep(LONG_MS) } })
    const { runs: others } = await worker(t, name)
    await app.jobs.send(name, { n: 1 })
    await until(async () => await completed(app, name) === 1)
    t.equal(runs.length + others.length, 1)
  })

  await t.test('one that was taken for dead has its signal fired, and what it says of the job counts for nothing', async t => {
    const name = newQueue()
    const { app, runs } = await worker(t, name, { handler: async ({ signal }) => { await until(() => signal.aborted) } })
    await app.jobs.send(name, { n: 1 })
    await until(() => runs.length === 1)
    const lock = randomUUID()
    // As another worker locks it.
    await app.prisma.$executeRaw`UPDATE agenda_jobs SET locked_at = now() + interval '1 hour', last_modified_by = ${lock}, attempts = 2 WHERE name = ${name}`
    await until(() => runs[0]?.signal.aborted)
    await sleep(500)
    t.match(await rowsOf(app, name), [{ lastModifiedBy: lock, attempts: 2, failCount: null, lastFinishedAt: null }])
  })
})

t.test('what a worker has locked and not begun when it ends, waits for another, untouched', async t => {
  const name = newQueue()
  const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
  await web.jobs.send(name, { n: 1 })
  const { pool, repository } = createAgenda(web.databaseUrl)
  t.ok(await repository.getNextJobToRun(name))
  t.match(await storedJobs(web, name), [{ state: 'active' }])
  repository.stop()
  t.equal(await repository.getNextJobToRun(name), undefined, 'nothing is fetched any more')
  await repository.finish()
  await pool.end()
  t.match(await storedJobs(web, name), [{ state: 'created', attempts: 0 }])
})

t.test('policies', async t => {
  await t.test('are kept by the table, in the transaction that sends', async t => {
    const gate = Promise.withResolvers<void>()
    t.teardown(gate.resolve)
    const queues = { short: newQueue(), stately: newQueue(), exclusive: newQueue() }
    const begun: string[] = []
    const app = await buildApp(t, { ROLE: 'all' }, fastify => {
      for (const policy of ['short', 'stately', 'exclusive'] as const) {
        fastify.jobs.define({ name: queues[policy], policy, payload: Numbered, handler: async ({ payload }) => { begun.push(`${policy} ${payload.n}`); await gate.promise } })
      }
    })
    for (const [policy, name] of Object.entries(queues)) {
      t.ok(await app.jobs.send(name, { n: 1 }))
      await until(() => begun.includes(`${policy} 1`))
    }
    t.ok(await app.jobs.send(queues.short, { n: 2 }, { startAfter: 60_000 }), 'one runs, one may wait')
    t.equal(await app.jobs.send(queues.short, { n: 3 }), null)
    t.ok(await app.jobs.send(queues.stately, { n: 2 }))
    t.equal(await app.jobs.send(queues.stately, { n: 3 }), null)
    t.equal(await app.jobs.send(queues.exclusive, { n: 2 }), null)
    t.notOk(begun.includes('stately 2'), 'one runs at a time')
    gate.resolve()
    await until(() => begun.includes('stately 2'))
    await until(async () => await completed(app, queues.exclusive) === 1)
    t.ok(await app.jobs.send(queues.exclusive, { n: 4 }))
  })

  await t.test('a dead job for which there is no room any more is left alone', async t => {
    const name = newQueue()
    const { app } = await worker(t, name, { policy: 'exclusive', retry: { limit: 0 }, handler: async ({ payload: { n } }) => { if (n === 1) throw new Error('never') } })
    const id = await app.jobs.send(name, { n: 1 }) ?? ''
    await until(async () => (await deadJobs(app, name)).length === 1)
    const second = await app.jobs.send(name, { n: 2 }, { startAfter: 60_000 }) ?? ''
    await withJobs(app, async admin => {
      t.match(await admin.retry([id]), [{ problem: /no room/ }])
      await admin.cancel([second])
      t.match(await admin.retry([id]), [{ done: `is back on ${name}` }])
    })
  })

  await t.test('however many workers there are, one of a key runs at a time, and other keys beside it', async t => {
    const name = newQueue()
    const running = new Map<string, number>()
    let most = 0
    let together = 0
    const handler = async ({ payload: { n } }: { payload: { n: number } }) => {
      const key = String(n % 3)
      running.set(key, (running.get(key) ?? 0) + 1)
      most = Math.max(most, running.get(key) ?? 0)
      together = Math.max(together, [...running.values()].reduce((sum, count) => sum + count, 0))
      await sleep(20)
      running.set(key, (running.get(key) ?? 0) - 1)
    }
    const [{ app }] = [await worker(t, name, { policy: 'singleton', handler }), await worker(t, name, { policy: 'singleton', handler })]
    for (let n = 0; n < 30; n++) await app.jobs.send(name, { n }, { singletonKey: String(n % 3) })
    await until(async () => await completed(app, name) === 30)
    t.equal(most, 1)
    t.ok(together > 1)
  })
})

t.test('schedules', async t => {
  const schedule = { cron: '0 4 * * *', timeZone: 'Europe/Berlin', payload: { n: 7 } }
  const stored = async (app: FastifyInstance, name: string) => await rowsOf(app, scheduleOf(name))
  const due = async ({ prisma }: FastifyInstance, name: string, seconds: number) => await prisma.$executeRaw`
    UPDATE agenda_jobs SET next_run_at = now() - ${seconds}::int * interval '1 second' WHERE name = ${scheduleOf(name)}`

  await t.test('are made, changed and ended with their declaration', async t => {
    const name = newQueue()
    const { app } = await worker(t, name, { schedule })
    const made = await until(async () => (await stored(app, name))[0])
    t.match(made, { repeatInterval: '0 4 * * *', repeatTimezone: 'Europe/Berlin' })
    t.match(new Intl.DateTimeFormat('en', { timeZone: 'Europe/Berlin', hour: 'numeric', minute: 'numeric', hourCycle: 'h23' }).format(made.nextRunAt ?? 0), /^0?4:00$/)
    const changed = await worker(t, name, { schedule: { ...schedule, cron: '0 5 * * *' } })
    await until(async () => (await stored(changed.app, name))[0]?.repeatInterval === '0 5 * * *')
    const without = await worker(t, name)
    await until(async () => (await stored(without.app, name)).length === 0)
  })

  await t.test('send one job for a time, however many workers there are, and go on', async t => {
    const name = newQueue()
    const [{ app, runs }, { runs: others }] = [await worker(t, name, { schedule }), await worker(t, name, { schedule })]
    await until(async () => (await stored(app, name)).length === 1)
    for (let times = 1; times <= 3; times++) {
      await due(app, name, 1)
      await until(() => runs.length + others.length === times)
      await until(async () => ((await stored(app, name))[0]?.nextRunAt?.getTime() ?? 0) > Date.now())
    }
    await sleep(2_500)
    t.equal(runs.length + others.length, 3)
    t.equal(new Set([...runs, ...others].map(({ id }) => id)).size, 3)
  })

  await t.test('a time that was missed is made up for once, or skipped where that is asked for', async t => {
    for (const missed of ['once', 'skip'] as const) {
      const name = newQueue()
      const before = await worker(t, name, { schedule })
      await until(async () => (await stored(before.app, name)).length === 1)
      await before.app.close()
      const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
      await due(web, name, 3_600)
      await worker(t, name, { schedule: { ...schedule, missed } })
      await until(async () => ((await stored(web, name))[0]?.nextRunAt?.getTime() ?? 0) > Date.now())
      t.equal((await rowsOf(web, name)).length, missed === 'once' ? 1 : 0, missed)
    }
  })

  await t.test('a time whose worker was killed comes again, and no second job of it if the first was sent', async t => {
    for (const isSent of [false, true]) {
      const name = newQueue()
      const before = await worker(t, name, { schedule })
      await until(async () => (await stored(before.app, name)).length === 1)
      await before.app.close()
      const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
      await due(web, name, 1)
      if (isSent) await web.prisma.$executeRaw`UPDATE agenda_jobs SET sent_for = next_run_at WHERE name = ${scheduleOf(name)}`
      await killed(web, scheduleOf(name))
      await worker(t, name, { schedule })
      await until(async () => ((await stored(web, name))[0]?.nextRunAt?.getTime() ?? 0) > Date.now())
      t.equal((await rowsOf(web, name)).length, isSent ? 0 : 1)
    }
  })

  await t.test('one whose job can\'t be sent is not lost: its time comes again', async t => {
    const name = newQueue()
    const { app, lines } = await loggingWorker(t, { name, payload: Numbered, schedule, handler: async () => {} })
    await until(async () => (await stored(app, name)).length === 1)
    await app.prisma.$executeRawUnsafe(`ALTER TABLE agenda_jobs ADD CONSTRAINT refused CHECK (name <> '${name}')`)
    await due(app, name, 1)
    await until(() => lines.some(({ msg, queue }) => queue === name && /could not be sent, and will be/.test(String(msg))))
    await app.prisma.$executeRawUnsafe('ALTER TABLE agenda_jobs DROP CONSTRAINT refused')
    await until(async () => await completed(app, name) === 1)
  })
})

t.test('jobs that are done are forgotten after a week, dead and cancelled ones after a month', async t => {
  const name = newQueue()
  const { app: web } = await worker(t, name, {}, { ROLE: 'web' })
  const put = async (days: number, how: { nextRunAt?: Date | null, failCount?: number, disabled?: boolean }) => {
    await web.prisma.agendaJob.create({ data: { name, nextRunAt: null, data: { payload: { days } }, updatedAt: new Date(Date.now() - days * 86_400_000), ...how } })
  }
  for (const days of [6, 8]) await put(days, {})
  for (const days of [29, 31]) {
    await put(days, { failCount: 1 })
    await put(days, { disabled: true, nextRunAt: new Date() })
  }
  await put(100, { nextRunAt: new Date(Date.now() + 86_400_000) })
  await worker(t, name)
  await until(async () => (await rowsOf(web, name)).length === 4)
  t.same((await rowsOf(web, name)).map(({ data }) => (data as { payload: { days: number } }).payload.days), [6, 29, 29, 100])
})

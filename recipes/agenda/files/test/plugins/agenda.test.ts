// What is agenda's alone: its table, what others put there, and what is forgotten.
import { getCreateTableSQL } from '@agendajs/postgres-backend'
import t from 'tap'
import { createAgenda } from '../../plugins/jobs/agenda/agenda.ts'
import { withClient } from '../../plugins/jobs/client.ts'
import { testDatabase } from '../helpers/app.ts'
import { completed, rowsOf } from '../helpers/agenda.ts'
import { deadJobs } from '../helpers/jobs.ts'
import { until } from '../helpers/until.ts'
import { loggingWorker, newQueue, Numbered, worker } from '../helpers/workers.ts'

const DATABASE_URL = await testDatabase()

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

t.test('a job that was begun ever so often holds up no other', async t => {
  const name = newQueue()
  const { app, runs } = await worker(t, name)
  await app.prisma.agendaJob.create({ data: { name, nextRunAt: new Date(0), attempts: 2_147_483_647, data: { payload: { n: 1 } } } })
  await app.jobs.send(name, { n: 2 })
  await until(() => runs.length === 2)
})

t.test('what keeps jobs from being fetched is logged once, and the service is not ready meanwhile', async t => {
  const { app, lines } = await loggingWorker(t, { name: newQueue(), payload: Numbered, handler: async () => {} })
  const isReady = async (status: number) => await until(async () => (await app.inject('/health/ready')).statusCode === status)
  await isReady(200)
  await app.prisma.$executeRaw`ALTER TABLE agenda_jobs RENAME COLUMN last_run_at TO elsewhere`
  await isReady(503)
  await app.prisma.$executeRaw`ALTER TABLE agenda_jobs RENAME COLUMN elsewhere TO last_run_at`
  await isReady(200)
  const warnings = lines.filter(({ level, msg }) => level === 40 && msg === 'agenda had trouble')
  t.match(warnings, [{ err: { message: /last_run_at/ } }])
  t.equal(warnings.length, 1)
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

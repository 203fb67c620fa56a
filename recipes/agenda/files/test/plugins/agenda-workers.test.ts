// Whose a job is: workers that die, are taken for dead, or end.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createAgenda } from '../../plugins/jobs/agenda/agenda.ts'
import { completed, killed, rowsOf } from '../helpers/agenda.ts'
import { deadJobs, storedJobs } from '../helpers/jobs.ts'
import { until } from '../helpers/until.ts'
import { loggingWorker, newQueue, Numbered, worker } from '../helpers/workers.ts'

/** Longer than a worker may give no sign of life. */
const LONG_MS = 14_000

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

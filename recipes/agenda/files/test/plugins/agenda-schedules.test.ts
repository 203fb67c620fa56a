// Schedules, which are jobs of agenda's that repeat.
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { scheduleOf } from '../../plugins/jobs/agenda/settings.ts'
import { completed, killed, rowsOf } from '../helpers/agenda.ts'
import { until } from '../helpers/until.ts'
import { loggingWorker, newQueue, Numbered, worker } from '../helpers/workers.ts'

t.test('schedules', async t => {
  const schedule = { cron: '0 4 * * *', timeZone: 'Europe/Berlin', payload: { n: 7 } }
  const stored = async (app: FastifyInstance, name: string) => await rowsOf(app, scheduleOf(name))
  const due = async ({ prisma }: FastifyInstance, name: string, seconds: number) => await prisma.$executeRaw`
    UPDATE agenda_jobs SET next_run_at = now() - ${seconds}::int * interval '1 second' WHERE name = ${scheduleOf(name)}`
  /** A process without workers, when the one worker that had the schedule is gone. */
  const afterWorker = async (t: Test, name: string) => {
    const before = await worker(t, name, { schedule })
    await until(async () => (await stored(before.app, name)).length === 1)
    await before.app.close()
    return (await worker(t, name, {}, { ROLE: 'web' })).app
  }

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
      const web = await afterWorker(t, name)
      await due(web, name, 3_600)
      await worker(t, name, { schedule: { ...schedule, missed } })
      await until(async () => ((await stored(web, name))[0]?.nextRunAt?.getTime() ?? 0) > Date.now())
      t.equal((await rowsOf(web, name)).length, missed === 'once' ? 1 : 0, missed)
    }
  })

  await t.test('a time whose worker was killed comes again, and no second job of it if the first was sent', async t => {
    for (const isSent of [false, true]) {
      const name = newQueue()
      const web = await afterWorker(t, name)
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

// Agenda keeps the schedules, as jobs of its own that repeat: one of them sends the job of a time.
import { randomUUID } from 'node:crypto'
import type { Agenda } from 'agenda'
import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import type { PrismaClient } from '../../../prisma/generated/client.ts'
import { checkSchedules, syncSchedules } from '../schedules.ts'
import type { Job } from '../types.ts'
import { createAgenda } from './agenda.ts'
import type { Held } from './held.ts'
import { put, sqlOf } from './sending.ts'
import { jobOf, LATE_SECONDS, scheduleOf } from './settings.ts'

/** Refuses a schedule that agenda could never run. @throws Error that names the job */
export async function checkAgendaSchedules (jobs: Iterable<Job>): Promise<void> {
  // Never started: it only reads the expression.
  const { agenda } = createAgenda('postgresql://localhost/never-asked')
  await checkSchedules(jobs, ({ cron, timeZone }) => {
    const { nextRunAt, failReason } = agenda.create('schedule').repeatEvery(cron, { timezone: timeZone }).attrs
    if (nextRunAt === null) throw new Error(failReason)
  })
}

/** Makes agenda's schedules what the definitions say. */
export async function syncAgendaSchedules (agenda: Agenda, pool: pg.Pool, jobs: ReadonlyMap<string, Job>, log: FastifyBaseLogger): Promise<void> {
  const { rows } = await pool.query<{ name: string, cron: string, timeZone: string }>("SELECT name, repeat_interval AS cron, repeat_timezone AS \"timeZone\" FROM agenda_jobs WHERE type = 'single'")
  const present = new Map(rows.map(({ name, ...timing }) => [jobOf(name), timing]))
  await syncSchedules(jobs, new Set(present.keys()), {
    set: async ({ name }, { cron, timeZone }) => {
      const found = present.get(name)
      // What is as it was stays: made anew, it would forget a time that was missed.
      if (found?.cron !== cron || found.timeZone !== timeZone) await agenda.every(cron, scheduleOf(name), {}, { timezone: timeZone })
    },
    end: async name => await agenda.cancel({ name: scheduleOf(name) })
  }, log)
}

/** Sends the job of the time that has come, which is noted with it: one that is seen to twice has sent one. */
export async function tick (prisma: PrismaClient, job: Job, { id, lock }: Held): Promise<void> {
  await prisma.$transaction(async tx => {
    const sql = sqlOf(tx)
    const [time] = await sql<{ isLate: boolean }>(`
      UPDATE agenda_jobs SET sent_for = next_run_at WHERE id = $1::uuid AND last_modified_by = $2 AND (sent_for IS NULL OR sent_for < next_run_at)
      RETURNING next_run_at < now() - $3::int * interval '1 second' AS "isLate"`, id, lock, LATE_SECONDS)
    if (time === undefined || (time.isLate && job.schedule?.missed === 'skip')) return
    await put(sql, job, { id: randomUUID(), payload: job.schedule?.payload }, {})
  })
}

import type { FastifyBaseLogger } from 'fastify'
import type { PgBoss, Queue, QueueResult } from 'pg-boss'
import { checkSchedules, syncSchedules } from '../schedules.ts'
import type { Job } from '../types.ts'

/** pg-boss's least. A worker that is gone is noticed so many seconds after its last sign of life. */
const HEARTBEAT_SECONDS = 10
/** A handler is given up at its time-out by its own process; the database waits this much longer. */
const EXPIRE_MARGIN_SECONDS = 30
const DAY_SECONDS = 86_400

/** Makes the queues what the definitions say: rows of a table, so it takes no right to create anything. */
export async function syncQueues (boss: PgBoss, jobs: Iterable<Job>, log: FastifyBaseLogger): Promise<void> {
  const present = new Map((await boss.getQueues()).map(queue => [queue.name, queue]))
  for (const job of jobs) {
    await syncQueue(boss, { name: job.deadLetter, policy: 'standard', ...retention }, present.get(job.deadLetter), log)
    await syncQueue(boss, {
      name: job.name,
      policy: job.policy,
      retryLimit: job.retry.limit,
      retryDelay: job.retry.delaySeconds,
      retryBackoff: true,
      retryDelayMax: job.retry.maxDelaySeconds,
      expireInSeconds: job.timeoutSeconds + EXPIRE_MARGIN_SECONDS,
      heartbeatSeconds: HEARTBEAT_SECONDS,
      notify: true,
      deadLetter: job.deadLetter,
      ...retention
    }, present.get(job.name), log)
  }
}

/** How long jobs are kept: those that wait, from when they could start; those that are done. */
const retention = { retentionSeconds: 30 * DAY_SECONDS, deleteAfterSeconds: 7 * DAY_SECONDS }

async function syncQueue (boss: PgBoss, { name, policy, ...options }: Queue, present: QueueResult | undefined, log: FastifyBaseLogger): Promise<void> {
  if (present === undefined) return await boss.createQueue(name, { policy, ...options })
  if (present.policy !== policy) log.error({ queue: name, policy, present: present.policy }, 'the policy of a queue can\'t be changed: give the job another name')
  const differs = Object.entries(options).some(([option, value]) => present[option as keyof QueueResult] !== value)
  if (differs) await boss.updateQueue(name, options)
}

/** Makes the schedules of pg-boss what the definitions say. */
export async function syncBossSchedules (boss: PgBoss, jobs: ReadonlyMap<string, Job>, log: FastifyBaseLogger): Promise<void> {
  const present = new Set((await boss.getSchedules()).map(({ name }) => name))
  await syncSchedules(jobs, present, {
    set: ({ name, schedule: { payload, missed = 'once' } }, { cron, timeZone }) => boss.schedule(name, cron, { payload }, { tz: timeZone, missed }),
    end: name => boss.unschedule(name)
  }, log)
}

/** Refuses a schedule that pg-boss could never run. @throws Error that names the job */
export async function checkBossSchedules (jobs: Iterable<Job>): Promise<void> {
  let reader: PgBoss | undefined
  await checkSchedules(jobs, async ({ cron, timeZone }) => {
    const { PgBoss } = await import('pg-boss')
    // Never started: it only reads the expression.
    reader ??= new PgBoss('postgresql://localhost/never-asked')
    await reader.previewSchedule(cron, { tz: timeZone, count: 1 })
  })
}

import type { FastifyBaseLogger } from 'fastify'
import type { PgBoss, Queue, QueueResult } from 'pg-boss'
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

/** Makes the schedules what the definitions say. One whose job is gone from the code is only named: another release may have it. */
export async function syncSchedules (boss: PgBoss, jobs: ReadonlyMap<string, Job>, log: FastifyBaseLogger): Promise<void> {
  const present = new Map((await boss.getSchedules()).map(schedule => [schedule.name, schedule]))
  for (const { name, schedule } of jobs.values()) {
    if (schedule !== undefined) {
      await boss.schedule(name, schedule.cron, { payload: schedule.payload }, { tz: schedule.timeZone ?? 'UTC', missed: schedule.missed ?? 'once' })
    } else if (present.has(name)) {
      await boss.unschedule(name)
    }
  }
  for (const name of present.keys()) {
    if (!jobs.has(name)) log.warn({ queue: name }, `a schedule sends jobs that this release does not have; when no other has, end it: npm run kit -- jobs drop ${name}`)
  }
}

/**
 * Refuses a schedule that could never run.
 * @throws Error that names the job
 */
export async function checkSchedules (jobs: Iterable<Job>): Promise<void> {
  const scheduled = [...jobs].filter(({ schedule }) => schedule !== undefined)
  if (scheduled.length === 0) return
  const { PgBoss } = await import('pg-boss')
  // Never started: it only reads the expression.
  const reader = new PgBoss('postgresql://localhost/never-asked')
  for (const { name, schedule } of scheduled) {
    try {
      await reader.previewSchedule(schedule?.cron ?? '', { tz: schedule?.timeZone ?? 'UTC', count: 1 })
    } catch (error) {
      throw new Error(`The job "${name}" has a schedule that can't run: ${(error as Error).message}`, { cause: error })
    }
  }
}

// What is the same for the schedules of all drivers.
import type { FastifyBaseLogger } from 'fastify'
import type { Job } from './types.ts'

/** A schedule with its time zone. */
export interface Timing { cron: string, timeZone: string }

const FIELDS = 5

/**
 * Refuses a schedule that could never run.
 * @param look throws at one that it can't read
 * @throws Error that names the job
 */
export async function checkSchedules (jobs: Iterable<Job>, look: (timing: Timing) => unknown): Promise<void> {
  for (const { name, schedule } of jobs) {
    if (schedule === undefined) continue
    try {
      const timing = timingOf(schedule)
      if (timing.cron.trim().split(/\s+/).length !== FIELDS) throw new Error(`"${timing.cron}" has not ${FIELDS} fields`)
      // Said as it is: a parser may be silent about it, or have words of its own.
      Intl.DateTimeFormat('en', { timeZone: timing.timeZone })
      await look(timing)
    } catch (error) {
      throw new Error(`The job "${name}" has a schedule that can't run: ${(error as Error).message}`, { cause: error })
    }
  }
}

/** A job that has a schedule. */
export type Scheduled = Job & { schedule: NonNullable<Job['schedule']> }

/** What is done with the schedules that are stored. */
export interface ScheduleSteps {
  /** Makes the one of a job what its definition says. */
  set: (job: Scheduled, timing: Timing) => Promise<unknown>
  end: (name: string) => Promise<unknown>
}

/**
 * Makes the schedules what the definitions say. One whose job is gone from the code is only named: another release may have it.
 * @param present the names of the jobs that have one stored
 */
export async function syncSchedules (jobs: ReadonlyMap<string, Job>, present: ReadonlySet<string>, { set, end }: ScheduleSteps, log: FastifyBaseLogger): Promise<void> {
  for (const job of jobs.values()) {
    const { name, schedule } = job
    if (schedule !== undefined) await set({ ...job, schedule }, timingOf(schedule))
    else if (present.has(name)) await end(name)
  }
  for (const name of present) {
    if (!jobs.has(name)) log.warn({ queue: name }, `a schedule sends jobs that this release does not have; when no other has, end it: npm run kit -- jobs drop ${name}`)
  }
}

function timingOf ({ cron, timeZone = 'UTC' }: NonNullable<Job['schedule']>): Timing {
  return { cron, timeZone }
}

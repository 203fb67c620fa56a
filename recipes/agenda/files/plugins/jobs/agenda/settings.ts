// What is asked of agenda, and of its table.

/** Where workers hear of jobs that are due at once; the payload is the schema of the table. */
export const CHANNEL = 'agenda_jobs'
/** Agenda looks for delayed jobs and retries so often, and behind a pooler for all. */
export const POLL_MS = 2_000
/** A worker says so often that it has its jobs. */
export const BEAT_MS = 3_000
/** One that has not said so for as long is taken for dead, at the next look. */
export const SILENCE_SECONDS = 10
export const LOOK_MS = 5_000
/** How long jobs are kept: those that are done; dead and cancelled ones. */
export const KEPT_DAYS = { done: 7, others: 30 }
/** So late, nobody was there at the time of a schedule. */
export const LATE_SECONDS = 60

/** How long a connection that may be dead is waited for at the end. */
export const CLOSE_MS = 2_000

const SCHEDULE = 'schedule:'

/** What agenda calls the schedule of a job. No job has such a name: there is no colon in one. */
export function scheduleOf (job: string): string {
  return SCHEDULE + job
}

/** The job of a schedule. */
export function jobOf (schedule: string): string {
  return schedule.slice(SCHEDULE.length)
}

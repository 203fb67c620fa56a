// What is asked of BullMQ.
const DAY_SECONDS = 86_400
/** BullMQ's highest number, which comes last. */
const LAST_PRIORITY = 2_097_151
const MIDDLE = 1_048_576

/** How long jobs are kept: those that are done, and dead ones. */
export const KEPT = { removeOnComplete: { age: 7 * DAY_SECONDS }, removeOnFail: { age: 30 * DAY_SECONDS } }

/** The strategy of the workers. */
export const BACKOFF = 'keel'

/** A worker that is gone is noticed so many milliseconds after its last sign of life, and then at the next look. */
export const SIGNS_OF_LIFE = { lockDuration: 10_000, lockRenewTime: 3_000, stalledInterval: 5_000 }

/** Times at which jobs are sent are jobs of a queue of their own. No job has its name: none begins so. */
export const SCHEDULES = '_schedules'

/** With BullMQ low numbers come first, and all come after those that have none. */
export function bullPriority (priority: number): number {
  return Math.min(Math.max(MIDDLE - priority, 1), LAST_PRIORITY)
}

/** The priority that BullMQ's number was made of. */
export function priorityOf (number: number): number {
  return MIDDLE - number
}

/** How long to wait before the next attempt: doubles, with jitter. @param failed attempts that have failed, at least one */
export function backoffMs ({ delaySeconds, maxDelaySeconds }: { delaySeconds: number, maxDelaySeconds: number }, failed: number): number {
  const most = Math.min(maxDelaySeconds, delaySeconds * 2 ** Math.min(16, failed - 1)) * 1000
  return Math.round(most * (1 - Math.random() / 2))
}

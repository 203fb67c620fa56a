// BullMQ's schedulers send one job for a time; here it is a tick, and the job itself goes through the outbox as any
// other, by an id made of queue and time: a tick that is seen to twice has sent one.
import { createHash } from 'node:crypto'
import { getNextMillis } from 'bullmq'
import type { FastifyBaseLogger } from 'fastify'
import { checkSchedules, syncSchedules } from '../schedules.ts'
import type { Job } from '../types.ts'
import { put, type Sql } from './outbox.ts'
import type { Store } from './redis.ts'
import { SCHEDULES } from './settings.ts'

/** What a tick says of the job that it is for, also where another release has it. */
interface Tick { queue: string, payload: unknown, policy: Job['policy'], retries: number, isSkipped: boolean }

/** So late, nobody was there at the time. */
const LATE_MS = 60_000

/** Refuses a schedule that could never run. @throws Error that names the job */
export async function checkBullSchedules (jobs: Iterable<Job>): Promise<void> {
  await checkSchedules(jobs, ({ cron, timeZone: tz }) => {
    if (getNextMillis(Date.now(), { pattern: cron, tz }) === undefined) throw new Error(`"${cron}" never comes`)
  })
}

/** Makes the schedules of BullMQ what the definitions say. */
export async function syncBullSchedules (store: Store, jobs: ReadonlyMap<string, Job>, log: FastifyBaseLogger): Promise<void> {
  const queue = store.queue(SCHEDULES)
  const present = new Map((await queue.getJobSchedulers()).map(scheduler => [scheduler.key, scheduler]))
  await syncSchedules(jobs, new Set(present.keys()), {
    set: async ({ name, schedule, policy, retry }, { cron: pattern, timeZone: tz }) => {
      const found = present.get(name)
      const data: Tick = { queue: name, payload: schedule.payload, policy, retries: retry.limit, isSkipped: schedule.missed === 'skip' }
      // What is as it was stays: made anew, it would forget a time that was missed.
      if (found?.pattern === pattern && found.tz === tz && JSON.stringify(found.template?.data) === JSON.stringify(data)) return
      await queue.upsertJobScheduler(name, { pattern, tz }, { name, data, opts: { attempts: 1_000_000, backoff: { type: 'keel' }, removeOnComplete: true } })
    },
    end: name => queue.removeJobScheduler(name)
  }, log)
}

/** Sends the job of a time that has come. @param at when that was, in milliseconds */
export async function tick (sql: Sql, data: unknown, at: number): Promise<void> {
  const { queue, payload, policy, retries, isSkipped } = data as Tick
  if (isSkipped && Date.now() - at > LATE_MS) return
  const id = idOf(queue, at)
  await put(sql, { name: queue, policy, retry: { limit: retries, delaySeconds: 0, maxDelaySeconds: 0 } }, { id, payload }, { id })
}

/** A UUID (version 8) that is the same for the same queue and time. */
function idOf (queue: string, at: number): string {
  const hex = createHash('sha256').update(JSON.stringify([queue, at])).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

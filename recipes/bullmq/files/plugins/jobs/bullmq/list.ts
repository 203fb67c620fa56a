import type { Job as BullJob, JobType } from 'bullmq'
import { STATES, type JobList, type ListedJob, type ListQuery } from '../admin.ts'
import { readEnvelope } from '../envelope.ts'
import type { Sql } from './outbox.ts'
import type { Store } from './redis.ts'

/** Of BullMQ's states. */
const TYPES: JobType[] = ['failed', 'active', 'wait', 'prioritized', 'delayed', 'completed']
/** What a state of the table is called here. One that was being taken back, and is not in Redis, was. */
export const STATE = "CASE state WHEN 'waiting' THEN 'created' ELSE 'cancelled' END"
/** What is looked at of each state of a queue. */
const MOST = 10_000

interface Row { id: string, queue: string, data: unknown, state: string, createdAt: Date, startAfter: Date, isDue: boolean }

/** What BullMQ's state of a job is called here. */
export function stateOf ({ attemptsStarted }: BullJob, state: string): string {
  if (state === 'failed') return 'dead'
  if (state === 'active' || state === 'completed') return state
  return attemptsStarted > 0 ? 'retry' : 'created'
}

/** The jobs of queues, wherever they are. */
export async function listJobs (sql: Sql, store: Store, queues: string[], { queue, state, all = false, limit }: ListQuery): Promise<JobList> {
  const rows = await sql<Row>(`
    SELECT id::text, queue, data, ${STATE} AS state, created_at AS "createdAt", start_after AS "startAfter", start_after <= now() AS "isDue"
    FROM outgoing_jobs WHERE state IN ('waiting', 'cancelled', 'held') AND ($1::text IS NULL OR queue = $1)`, queue ?? null)
  const found = new Map(rows.map(row => [row.id, waiting(row)]))
  for (const name of queues) {
    for (const type of TYPES.filter(type => all || state !== undefined || type !== 'completed')) {
      // What moves on meanwhile is as it was seen last.
      for (const job of await store.queue(name).getJobs([type], 0, MOST - 1)) if (job?.id !== undefined) found.set(job.id, inRedis(name, job, type))
    }
  }
  const order = (job: ListedJob) => STATES.findIndex(one => one === job.state)
  const jobs = [...found.values()].filter(job => state === undefined ? all || job.state !== 'completed' : job.state === state)
    .sort((a, b) => order(a) - order(b) || b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? -1 : 1))
  return { jobs: jobs.slice(0, limit), total: jobs.length }
}

function waiting ({ id, queue, data, state, createdAt, startAfter, isDue }: Row): ListedJob {
  const { payload, requestId = null, traceparent = null } = readEnvelope(data)
  return { id, rowId: id, queue, state, attempts: 0, createdAt, startAfter: state === 'created' && !isDue ? startAfter : null, reason: null, payload, requestId, traceparent }
}

function inRedis (queue: string, job: BullJob, type: JobType): ListedJob {
  const { id: rowId = '', data, attemptsStarted, timestamp, delay, processedOn = timestamp, failedReason } = job
  const { id = rowId, payload, requestId = null, traceparent = null } = readEnvelope(data)
  // A delay is counted from the sending, or from the end of the attempt before.
  const startAfter = type === 'delayed' ? new Date((attemptsStarted > 0 ? processedOn : timestamp) + delay) : null
  return { id, rowId, queue, state: stateOf(job, type), attempts: attemptsStarted, createdAt: new Date(timestamp), startAfter, reason: failedReason || null, payload, requestId, traceparent }
}

import type { QueueCounts } from '../types.ts'
import type { Sql } from './outbox.ts'
import type { Store } from './redis.ts'

/** The queues with what is on them: in Redis and, not there yet, in the table. */
export async function counts (sql: Sql, store: Store, declared: string[]): Promise<QueueCounts[]> {
  const waiting = await sql<{ queue: string, ready: number, deferred: number }>(`
    SELECT queue, count(*) FILTER (WHERE start_after <= now())::int AS ready, count(*) FILTER (WHERE start_after > now())::int AS deferred
    FROM outgoing_jobs WHERE state = 'waiting' GROUP BY queue`)
  const names = [...new Set([...declared, ...await store.names()])].sort()
  return await Promise.all(names.map(async name => {
    const { wait = 0, prioritized = 0, delayed = 0, active = 0, failed = 0 } = await store.queue(name).getJobCounts('wait', 'prioritized', 'delayed', 'active', 'failed')
    const { ready = 0, deferred = 0 } = waiting.find(({ queue }) => queue === name) ?? {}
    return { name, ready: wait + prioritized + ready, deferred: delayed + deferred, active, dead: failed }
  }))
}

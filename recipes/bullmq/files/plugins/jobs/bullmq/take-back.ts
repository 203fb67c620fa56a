import type { Job as BullJob } from 'bullmq'
import type { Place, Sql } from './outbox.ts'
import type { Store } from './redis.ts'
import { priorityOf } from './settings.ts'

/** A value that is to be the only one of its kind is there already, as PostgreSQL says it. */
const TAKEN = '23505'

/**
 * Takes a job from Redis back to the table, where it waits to be handed on anew or is known as cancelled. One that is
 * killed in between leaves it where it was, or as cancelled.
 * @returns false when there is no room for it by the policy of its queue
 */
export async function takeBack (sql: Sql, store: Store, job: BullJob, queue: string, state: 'waiting' | 'cancelled'): Promise<boolean> {
  const { id = '', data, timestamp, delay, attemptsStarted, opts: { attempts = 1, priority = 0 } } = job
  const { slot = null, turn = null, isOrdered = false } = (data as { place?: Place }).place ?? {}
  const startAfter = new Date(attemptsStarted === 0 ? timestamp + delay : timestamp).toISOString()
  try {
    await sql(`
      INSERT INTO outgoing_jobs (id, queue, data, priority, attempts, slot, turn, is_ordered, is_kept, start_after, created_at, state)
      VALUES ($1::uuid, $2, $3::jsonb, $4::int, $5::int, $6, $7, $8, true, $9::timestamptz, $10::timestamptz, 'held')
      ON CONFLICT (id) DO UPDATE SET state = 'held', slot = excluded.slot, turn = excluded.turn, start_after = excluded.start_after`,
    id, queue, JSON.stringify(data), priorityOf(priority), attempts, state === 'cancelled' ? null : slot, turn, isOrdered, startAfter, new Date(timestamp).toISOString())
  } catch (error) {
    if ((error as { code?: string }).code === TAKEN) return false
    throw error
  }
  // What runs has a lock: without it, it finds out at its next sign of life, and does not settle the job.
  await store.redis.del(`${store.prefix}:${queue}:${id}:lock`)
  await job.remove()
  await sql("UPDATE outgoing_jobs SET state = $2, touched_at = now(), position = nextval(pg_get_serial_sequence('outgoing_jobs', 'position')) WHERE id = $1::uuid", id, state)
  if (state === 'waiting') await sql("SELECT pg_notify('outgoing_jobs', current_schema())")
  return true
}

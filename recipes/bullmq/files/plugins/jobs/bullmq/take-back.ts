import type { Job as BullJob } from 'bullmq'
import { unlessTaken } from '../admin.ts'
import type { Place, Sql } from './outbox.ts'
import type { Store } from './redis.ts'
import { priorityOf } from './settings.ts'

/** How often it is tried to take a job away that is begun meanwhile. */
const REMOVALS = 5

/**
 * Takes a job from Redis back to the table, where it waits to be handed on anew or is known as cancelled. One that is
 * killed in between leaves it where it was, or as cancelled.
 * @returns whether it was running, or 'no room' for it by the policy of its queue
 */
export async function takeBack (sql: Sql, store: Store, job: BullJob, queue: string, state: 'waiting' | 'cancelled'): Promise<{ wasRunning: boolean } | 'no room'> {
  const { id = '', data, timestamp, delay, attemptsStarted, opts: { attempts = 1, priority = 0 } } = job
  const { slot = null, turn = null, isOrdered = false } = (data as { place?: Place }).place ?? {}
  const startAfter = new Date(attemptsStarted === 0 ? timestamp + delay : timestamp).toISOString()
  const isThere = await unlessTaken(async () => await sql(`
    INSERT INTO outgoing_jobs (id, queue, data, priority, attempts, slot, turn, is_ordered, is_kept, start_after, created_at, state)
    VALUES ($1::uuid, $2, $3::jsonb, $4::int, $5::int, $6, $7, $8, true, $9::timestamptz, $10::timestamptz, 'held')
    ON CONFLICT (id) DO UPDATE SET state = 'held', slot = excluded.slot, turn = excluded.turn, start_after = excluded.start_after`,
  id, queue, JSON.stringify(data), priorityOf(priority), Math.max(1, attempts), state === 'cancelled' ? null : slot, turn, isOrdered, startAfter, new Date(timestamp).toISOString()))
  if (!isThere) return 'no room'
  const wasRunning = await removed(store, job, `${store.prefix}:${queue}:${id}:lock`)
  await sql("UPDATE outgoing_jobs SET state = $2, touched_at = now(), position = nextval(pg_get_serial_sequence('outgoing_jobs', 'position')) WHERE id = $1::uuid", id, state)
  if (state === 'waiting') await ring(sql)
  return { wasRunning }
}

/** Takes a job out of Redis. @returns whether it was running */
async function removed ({ redis }: Store, job: BullJob, lock: string): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    // What runs has a lock: without it, it finds out at its next sign of life, and does not settle the job.
    await redis.del(lock)
    const isRunning = await job.isActive()
    try {
      await job.remove()
      return isRunning
    } catch (error) {
      // It was begun in this very moment.
      if (attempt === REMOVALS) throw error
    }
  }
}

/** Cancels a job that waits in the table. @returns false when it does not */
export async function cancelWaiting (sql: Sql, id: string): Promise<boolean> {
  return (await sql("UPDATE outgoing_jobs SET state = 'cancelled', slot = NULL, touched_at = now() WHERE id = $1::uuid AND state = 'waiting' RETURNING id", id)).length === 1
}

/** Has a cancelled job wait again. @returns false when there is no room for it by the policy of its queue */
export async function putBack (sql: Sql, id: string): Promise<boolean> {
  const isThere = await unlessTaken(async () => await sql(`
    UPDATE outgoing_jobs SET state = 'waiting', slot = data #>> '{place,slot}', position = nextval(pg_get_serial_sequence('outgoing_jobs', 'position'))
    WHERE id = $1::uuid AND state IN ('cancelled', 'held')`, id))
  if (isThere) await ring(sql)
  return isThere
}

async function ring (sql: Sql): Promise<void> {
  await sql("SELECT pg_notify('outgoing_jobs', current_schema())")
}

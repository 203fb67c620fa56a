// The table of the jobs that were sent and are not in Redis yet. Those of a queue with a policy stay until they have
// ended: that is how the policy is kept, in the transaction that sends. Those whose id the sender chose stay for a week,
// and as long as BullMQ knows them: that is how an id is sent once. A row is `waiting` for its turn, `handed` to Redis, begun there (`running`), `sent` and
// only known by its id, `cancelled`, or `held` while it is taken back.
import type { Envelope } from '../envelope.ts'
import type { Job, SendOptions } from '../types.ts'

/** Statements, in whichever transaction. */
export type Sql = <Row>(text: string, ...values: unknown[]) => Promise<Row[]>

/** A job on its way. Its delay counts from when it was sent, as BullMQ has it. */
export interface Outgoing { id: string, queue: string, data: unknown, priority: number, attempts: number, delayMs: number, createdAt: Date, isKept: boolean }

/** How long an id that the sender chose is known at least. */
const KNOWN_SECONDS = 7 * 86_400
/** What is in Redis is looked after there when nothing was heard of it for so long. */
const QUIET_SECONDS = 10
/** One relay at a time: the order of a key, and that one runs at a time, are what it has seen. */
const LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('jobs in ' || current_schema(), 0)) AS locked"

/** What a job takes up by the policy of its queue, and whether it stays known by its id when it has ended. */
export interface Place { slot: string | null, turn: string | null, isOrdered: boolean, isNamed?: boolean }

function placeOf ({ name, policy }: Pick<Job, 'name' | 'policy'>, key = ''): Place {
  const waits = policy === 'short' || policy === 'stately'
  return {
    // Unique: a second one finds it taken.
    slot: waits ? JSON.stringify([name, key, 'waits']) : policy === 'exclusive' ? JSON.stringify([name, key]) : null,
    // Of these, one is in Redis at a time.
    turn: policy === 'singleton' || policy === 'stately' || policy === 'key_strict_fifo' ? JSON.stringify([name, key]) : null,
    isOrdered: policy === 'key_strict_fifo'
  }
}

/** Notes a job. @returns whether there was room for it */
export async function put (sql: Sql, job: Pick<Job, 'name' | 'policy' | 'retry'>, envelope: Envelope & { id: string }, { startAfter, priority = 0, singletonKey, id }: Pick<SendOptions, 'startAfter' | 'priority' | 'singletonKey' | 'id'>): Promise<boolean> {
  const place = placeOf(job, singletonKey)
  const { slot, turn, isOrdered } = place
  const hasPlace = slot !== null || turn !== null
  const [at, delayMs] = typeof startAfter === 'number' ? [null, startAfter] : [startAfter?.toISOString() ?? null, 0]
  const rows = await sql(`
    INSERT INTO outgoing_jobs (id, queue, data, priority, attempts, slot, turn, is_ordered, is_kept, start_after)
    VALUES ($1::uuid, $2, $3::jsonb, $4::int, $5::int, $6, $7, $8, $9, COALESCE($10::timestamptz, now() + $11::float8 * interval '1 millisecond'))
    ON CONFLICT DO NOTHING RETURNING id`,
  envelope.id, job.name, JSON.stringify(hasPlace ? { ...envelope, place: { ...place, isNamed: id !== undefined } } : envelope), priority, job.retry.limit + 1, slot, turn, isOrdered, hasPlace || id !== undefined, at, delayMs)
  return rows.length === 1
}

/** Whether this transaction is the one that may hand jobs on. */
export async function lock (sql: Sql): Promise<boolean> {
  return (await sql<{ locked: boolean }>(LOCK))[0]?.locked === true
}

/**
 * The jobs that may go to Redis, in the order in which they were sent; locked, so that none of them is cancelled on its way.
 * @param bytes of data at the most, but for one job, which may have more
 * @returns them, and whether there may be more
 */
export async function next (sql: Sql, limit: number, bytes: number): Promise<{ jobs: Outgoing[], hasMore: boolean }> {
  const rows = await sql<Outgoing & { found: number }>(`
    WITH found AS MATERIALIZED (
      SELECT * FROM outgoing_jobs one WHERE state = 'waiting' AND (turn IS NULL OR (is_ordered OR start_after <= now()) AND NOT EXISTS (
        SELECT 1 FROM outgoing_jobs other WHERE other.turn = one.turn AND
          (other.state IN ('handed', 'running') OR other.state = 'waiting' AND other.position < one.position AND (one.is_ordered OR other.start_after <= now()))))
      ORDER BY position LIMIT $1 FOR UPDATE),
    sized AS (SELECT *, row_number() OVER places AS place, sum(octet_length(data::text)) OVER places AS bytes, count(*) OVER () AS found FROM found WINDOW places AS (ORDER BY position))
    SELECT id::text, queue, data, priority, attempts, created_at AS "createdAt", is_kept AS "isKept", found::int,
      CASE WHEN start_after > now() THEN extract(epoch FROM start_after - created_at) * 1000 ELSE 0 END::float8 AS "delayMs"
    FROM sized WHERE place = 1 OR bytes <= $2::bigint ORDER BY position`, limit, bytes)
  const jobs = rows.map(({ found, ...job }) => job)
  return { jobs, hasMore: rows.length > 0 && (rows[0]?.found === limit || rows[0]?.found !== rows.length) }
}

/** Notes that jobs are in Redis. */
export async function handed (sql: Sql, jobs: Outgoing[]): Promise<void> {
  const ids = (isKept: boolean) => jobs.filter(job => job.isKept === isKept).map(({ id }) => id)
  await sql('DELETE FROM outgoing_jobs WHERE id = ANY($1::uuid[])', ids(false))
  await sql("UPDATE outgoing_jobs SET state = CASE WHEN slot IS NULL AND turn IS NULL THEN 'sent' ELSE 'handed' END, touched_at = now() WHERE id = ANY($1::uuid[]) AND state = 'waiting'", ids(true))
}

/** Notes that a job has begun, which may be before it is noted that it was handed on: where one may wait, there is room again. */
export async function begun (sql: Sql, id: string): Promise<void> {
  await sql("UPDATE outgoing_jobs SET state = 'running', touched_at = now(), slot = CASE WHEN slot LIKE '%,\"waits\"]' THEN NULL ELSE slot END WHERE id = $1::uuid AND state IN ('waiting', 'handed')", id)
}

/** Notes that a job has ended, done or dead: there is room again. */
export async function ended (sql: Sql, id: string): Promise<void> {
  await sql(`
    WITH one AS (SELECT id, COALESCE((data #>> '{place,isNamed}')::boolean, false) AS is_named FROM outgoing_jobs WHERE id = $1::uuid AND state IN ('waiting', 'handed', 'running') FOR UPDATE),
      known AS (UPDATE outgoing_jobs SET state = 'sent', slot = NULL, turn = NULL, touched_at = now() WHERE id IN (SELECT id FROM one WHERE is_named))
    DELETE FROM outgoing_jobs WHERE id IN (SELECT id FROM one WHERE NOT is_named)`, id)
}

/** Those that are in Redis and were not heard of for a while. */
export async function quiet (sql: Sql, limit: number): Promise<{ id: string, queue: string }[]> {
  return await sql(`
    UPDATE outgoing_jobs SET touched_at = now() WHERE id IN (
      SELECT id FROM outgoing_jobs WHERE state IN ('handed', 'running') AND touched_at < now() - $1::float8 * interval '1 second' ORDER BY touched_at LIMIT $2)
    RETURNING id::text, queue`, QUIET_SECONDS, limit)
}

/** Has a job go to Redis once more. */
export async function again (sql: Sql, id: string): Promise<void> {
  await sql("UPDATE outgoing_jobs SET state = 'waiting' WHERE id = $1::uuid AND state IN ('handed', 'running')", id)
}

/** Those that were sent, or cancelled, long ago and were not asked for since. */
export async function old (sql: Sql, limit: number): Promise<{ id: string, queue: string }[]> {
  return await sql(`
    UPDATE outgoing_jobs SET touched_at = now() WHERE id IN (
      SELECT id FROM outgoing_jobs WHERE state IN ('sent', 'cancelled') AND touched_at < now() - $1::float8 * interval '1 second' ORDER BY touched_at LIMIT $2)
    RETURNING id::text, queue`, KNOWN_SECONDS, limit)
}

/** Forgets ids. */
export async function forget (sql: Sql, ids: string[]): Promise<void> {
  await sql("DELETE FROM outgoing_jobs WHERE id = ANY($1::uuid[]) AND state IN ('sent', 'cancelled')", ids)
}

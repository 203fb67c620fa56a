import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { KEPT_DAYS, SILENCE_SECONDS } from './settings.ts'

const REASON = 'Its worker gave no sign of life any more (heartbeat)'
/** At a time. */
const FORGOTTEN = 1_000

interface Freed { id: string, name: string, isDead: boolean }

/**
 * Takes jobs from workers that are dead: each has failed once more, and is due at once, or dead.
 * @returns the names of those that are due
 */
export async function recover (pool: pg.Pool, log: FastifyBaseLogger): Promise<string[]> {
  const { rows } = await pool.query<Freed>(`
    UPDATE agenda_jobs SET locked_at = NULL, last_modified_by = NULL, updated_at = now(),
      next_run_at = CASE WHEN type = 'single' THEN next_run_at WHEN COALESCE(fail_count, 0) < retries THEN now() END,
      fail_count = CASE WHEN type = 'single' THEN fail_count ELSE COALESCE(fail_count, 0) + 1 END,
      fail_reason = CASE WHEN type = 'single' THEN fail_reason ELSE $1 END,
      failed_at = CASE WHEN type = 'single' THEN failed_at ELSE now() END
    WHERE id IN (SELECT id FROM agenda_jobs WHERE locked_at < now() - $2::int * interval '1 second' FOR UPDATE SKIP LOCKED)
    RETURNING id, name, next_run_at IS NULL AS "isDead"`, [REASON, SILENCE_SECONDS])
  for (const { id, name, isDead } of rows) {
    if (isDead) log.error({ queue: name, jobId: id, reason: REASON }, 'a job has ended its process too often: it is dead')
  }
  return rows.filter(({ isDead }) => !isDead).map(({ name }) => name)
}

/** Forgets what has ended long ago. */
export async function forget (pool: pg.Pool): Promise<void> {
  await pool.query(`
    DELETE FROM agenda_jobs WHERE id IN (
      SELECT id FROM agenda_jobs WHERE (next_run_at IS NULL OR disabled) AND locked_at IS NULL AND type = 'normal' AND updated_at < now() - $1::int * interval '1 day' AND
        (NOT disabled AND COALESCE(fail_count, 0) = 0 OR updated_at < now() - $2::int * interval '1 day')
      ORDER BY updated_at LIMIT $3)`, [KEPT_DAYS.done, KEPT_DAYS.others, FORGOTTEN])
}

import { STATES, type JobList, type ListedJob, type ListQuery } from '../admin.ts'
import type { Sql } from './sending.ts'

/** What a row is called. One that agenda has locked runs, one that it will not come to has ended. */
export const STATE = `CASE WHEN disabled THEN 'cancelled' WHEN locked_at IS NOT NULL THEN 'active' WHEN next_run_at IS NULL THEN CASE WHEN fail_count > 0 THEN 'dead' ELSE 'completed' END
  WHEN attempts > 0 THEN 'retry' ELSE 'created' END`

/** The jobs that a query asks for, and how many there are. */
export async function listJobs (sql: Sql, { queue, state, all = false, limit }: ListQuery): Promise<JobList> {
  const rows = await sql<ListedJob & { total: number }>(`
    SELECT id, "rowId", queue, state, attempts, "createdAt", CASE WHEN state IN ('created', 'retry') AND next_run_at > now() THEN next_run_at END AS "startAfter",
      CASE WHEN state <> 'completed' THEN fail_reason END AS reason, data -> 'payload' AS payload, data ->> 'requestId' AS "requestId", data ->> 'traceparent' AS traceparent, count(*) OVER ()::int AS total
    FROM (SELECT COALESCE(data ->> 'id', id::text) AS id, id::text AS "rowId", name AS queue, ${STATE} AS state, attempts, created_at AS "createdAt", next_run_at, fail_reason, data FROM agenda_jobs WHERE type = 'normal') listed
    WHERE ($1::text IS NULL OR queue = $1) AND CASE WHEN $2::text IS NULL THEN $5::bool OR state <> 'completed' ELSE state = $2 END
    ORDER BY array_position($4::text[], state), "createdAt" DESC, id LIMIT $3`, queue ?? null, state ?? null, limit, STATES, all)
  return { jobs: rows.map(({ total, ...job }) => job), total: rows[0]?.total ?? 0 }
}

import type pg from 'pg'
import { STATES, type JobList, type ListQuery, type ListedJob } from '../admin.ts'

const IS_DEAD = 'j.source_name IS NOT NULL AND j.source_output IS NOT NULL'
const COLUMNS = `COALESCE(j.source_root_id, j.id) AS id, j.id AS "rowId", COALESCE(j.source_name, j.name) AS queue,
  CASE WHEN ${IS_DEAD} AND j.state IN ('created', 'retry', 'failed') THEN 'dead' ELSE j.state::text END AS state,
  COALESCE(j.source_retry_count, j.retry_count) + (j.source_name IS NOT NULL OR j.started_on IS NOT NULL)::int AS attempts, COALESCE(j.source_created_on, j.created_on) AS "createdAt",
  CASE WHEN j.state IN ('created', 'retry') AND j.source_name IS NULL THEN j.start_after END AS "startAfter",
  COALESCE(o.output ->> 'reason', o.output ->> 'message', o.output -> 'value' ->> 'message', o.output ->> 'value') AS reason, j.data -> 'payload' AS payload, j.data ->> 'requestId' AS "requestId", j.data ->> 'traceparent' AS traceparent`

/** The jobs of pg-boss's tables that a query asks for, and how many there are. */
export async function listJobs (client: pg.Client, schema: string, { queue, state, all = false, limit }: ListQuery): Promise<JobList> {
  const { rows } = await client.query<ListedJob & { total: number }>(`
    SELECT *, count(*) OVER ()::int AS total FROM (
      SELECT ${COLUMNS} FROM ${schema}.job j CROSS JOIN LATERAL (SELECT COALESCE(j.source_output, j.output) AS output) o WHERE j.name NOT LIKE '\\_\\_pgboss%'
    ) listed
    WHERE ($1::text IS NULL OR queue = $1) AND CASE WHEN $2::text IS NULL THEN $5::bool OR state NOT IN ('completed', 'failed') ELSE state = $2 END
    ORDER BY array_position($4::text[], state), "createdAt" DESC, id LIMIT $3`, [queue ?? null, state ?? null, limit, STATES, all])
  return { jobs: rows.map(({ total, ...job }) => job), total: rows[0]?.total ?? 0 }
}

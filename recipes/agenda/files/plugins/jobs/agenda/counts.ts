import type { QueueCounts } from '../types.ts'
import type { Sql } from './sending.ts'

/** The queues with what is on them. */
export async function counts (sql: Sql, declared: string[]): Promise<QueueCounts[]> {
  const rows = await sql<QueueCounts>(`
    SELECT name, count(*) FILTER (WHERE locked_at IS NULL AND next_run_at <= now())::int AS ready, count(*) FILTER (WHERE locked_at IS NULL AND next_run_at > now())::int AS deferred,
      count(*) FILTER (WHERE locked_at IS NOT NULL)::int AS active, count(*) FILTER (WHERE next_run_at IS NULL)::int AS dead
    FROM agenda_jobs WHERE (next_run_at IS NOT NULL OR fail_count > 0) AND type = 'normal' AND NOT disabled GROUP BY name`)
  const found = new Map(rows.map(row => [row.name, row]))
  const names = await sql<{ name: string }>('SELECT name FROM agenda_queues')
  return [...new Set([...declared, ...names.map(({ name }) => name), ...found.keys()])].sort().map(name => found.get(name) ?? { name, ready: 0, deferred: 0, active: 0, dead: 0 })
}

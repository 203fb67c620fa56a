// What an operator does with jobs, on the database alone: beside a running service or without one.
import { each, knownQueue, NO_ROOM, unlessTaken, type JobAdmin, type Problem } from '../admin.ts'
import { withClient } from '../client.ts'
import { listJobs, STATE } from './list.ts'
import type { Sql } from './sending.ts'
import { CHANNEL, scheduleOf } from './settings.ts'

interface Row { id: string, queue: string, state: string }

/** Runs `use` on the jobs of a database. @throws Error with words for the operator */
export async function withJobAdmin<T> (url: string, use: (admin: JobAdmin) => Promise<T>): Promise<T> {
  return await withSql(url, async sql => await use(jobAdmin(sql)))
}

/** Takes all jobs away. */
export async function clear (url: string): Promise<void> {
  await withSql(url, async sql => await sql("DELETE FROM agenda_jobs WHERE type = 'normal'"))
}

async function withSql<T> (url: string, use: (sql: Sql) => Promise<T>): Promise<T> {
  return await withClient(url, async client => {
    const sql: Sql = async <Row>(text: string, ...values: unknown[]) => (await client.query(text, values)).rows as Row[]
    const [found] = await sql<{ present: boolean }>("SELECT to_regclass(format('%I.agenda_jobs', COALESCE($1, current_schema()))) IS NOT NULL AS present", new URL(url).searchParams.get('schema'))
    if (!found?.present) throw new Error('The tables of the jobs are missing: run npm run db:migrate.')
    return await use(sql)
  })
}

function jobAdmin (sql: Sql): JobAdmin {
  async function known (queue: string): Promise<void> {
    const rows = await sql<{ name: string }>("SELECT name FROM agenda_queues UNION SELECT name FROM agenda_jobs WHERE type = 'normal'")
    knownQueue(queue, rows.map(({ name }) => name).sort())
  }

  async function find (id: string): Promise<Row | undefined> {
    return (await sql<Row>(`SELECT id, name AS queue, ${STATE} AS state FROM agenda_jobs WHERE id = $1::uuid AND type = 'normal'`, id))[0]
  }

  async function retryOne ({ id, queue, state }: Row): Promise<string | Problem> {
    if (!['retry', 'dead', 'cancelled'].includes(state)) return { problem: `is ${state}` }
    const isBegun = state === 'retry'
    const isThere = await unlessTaken(async () => {
      // A job that is had back begins anew, behind those that were sent meanwhile.
      await sql(isBegun
        ? 'UPDATE agenda_jobs SET next_run_at = now() WHERE id = $1::uuid AND locked_at IS NULL AND next_run_at IS NOT NULL'
        : `UPDATE agenda_jobs SET disabled = false, next_run_at = CASE WHEN attempts = 0 THEN next_run_at ELSE now() END, attempts = 0, fail_count = 0, fail_reason = NULL,
            position = nextval(pg_get_serial_sequence('agenda_jobs', 'position')) WHERE id = $1::uuid AND (disabled OR next_run_at IS NULL)`, id)
    })
    if (!isThere) return NO_ROOM
    await sql(`SELECT pg_notify('${CHANNEL}', current_schema())`)
    return isBegun ? `is due now on ${queue}` : `is back on ${queue}`
  }

  async function cancelOne ({ id, state }: Row): Promise<string | Problem> {
    if (!['created', 'retry', 'active', 'dead'].includes(state)) return { problem: `is ${state}` }
    // Whose lock is gone, finds out at its next sign of life.
    await sql('UPDATE agenda_jobs SET disabled = true, locked_at = NULL, last_modified_by = NULL, updated_at = now() WHERE id = $1::uuid', id)
    return state === 'active' ? 'is cancelled; where it runs its signal fires within seconds' : 'is cancelled'
  }

  async function drop (queue: string): Promise<number> {
    await known(queue)
    const [active] = await sql('SELECT 1 FROM agenda_jobs WHERE name = $1 AND locked_at IS NOT NULL LIMIT 1', queue)
    if (active !== undefined) throw new Error(`A job of ${queue} is running: end the processes that have it in their code first.`)
    const rows = await sql<{ state: string }>(`DELETE FROM agenda_jobs WHERE name IN ($1, $2) RETURNING CASE WHEN type = 'normal' THEN ${STATE} END AS state`, queue, scheduleOf(queue))
    await sql('DELETE FROM agenda_queues WHERE name = $1', queue)
    return rows.filter(({ state }) => ['created', 'retry', 'dead'].includes(state)).length
  }

  return {
    list: async query => {
      if (query.queue !== undefined) await known(query.queue)
      return await listJobs(sql, query)
    },
    drop,
    retry: ids => each(ids, find, retryOne),
    cancel: ids => each(ids, find, cancelOne),
    dead: async queue => {
      await known(queue)
      const rows = await sql<{ id: string }>('SELECT id FROM agenda_jobs WHERE name = $1 AND next_run_at IS NULL AND fail_count > 0 AND NOT disabled ORDER BY position', queue)
      return rows.map(({ id }) => id)
    }
  }
}

// What an operator does with jobs, on the database alone: beside a running service or without one.
import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { jobsSchema, jobsSchemaState } from '../plugins/jobs/schema.ts'
import { CommandError } from './database.ts'

/** A job as an operator sees it: one in a dead letter queue is `dead`, on the queue it comes from. */
export interface ListedJob {
  id: string
  queue: string
  state: string
  /** Attempts that were begun. */
  attempts: number
  createdAt: Date
  /** When it may start, if it waits. */
  startAfter: Date | null
  /** Why its last attempt failed. */
  reason: string | null
  payload: unknown
  requestId: string | null
}

export const STATES = ['created', 'retry', 'active', 'completed', 'cancelled', 'failed', 'dead'] as const

export interface ListQuery { queue?: string, state?: string, limit: number }

/** What became of one job of a command; `problem` is why nothing did. */
export interface Outcome { id: string, done?: string, problem?: string }

export interface JobAdmin {
  /** Newest first. Without a state, what is neither completed nor failed: a failed job has a dead one that can be retried. */
  list: (query: ListQuery) => Promise<ListedJob[]>
  /** Has dead, failed and cancelled jobs run again. */
  retry: (ids: string[]) => Promise<Outcome[]>
  /** Takes jobs that have not ended off their queues; the signal of one that runs fires. */
  cancel: (ids: string[]) => Promise<Outcome[]>
  /** The ids of the dead jobs of a queue. */
  dead: (queue: string) => Promise<string[]>
}

interface Row { id: string, name: string, state: string, source_name: string | null }

/** Runs `use` on the jobs of a database. @throws CommandError */
export async function withJobAdmin<T> (url: string, use: (admin: JobAdmin) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    const query = async (sql: string) => (await client.query<Record<string, unknown>>(sql)).rows
    const state = await jobsSchemaState(query, jobsSchema(url))
    if (state !== 'current') throw new CommandError(state === 'newer' ? 'The tables of the jobs are of a later release.' : `The tables of the jobs are ${state}: run npm run db:migrate.`)
    const boss = new PgBoss({
      db: { executeSql: async (text, values) => await client.query(text, values) },
      schema: jobsSchema(url),
      migrate: false,
      supervise: false,
      schedule: false,
      registerInstance: false,
      openTelemetry: { enabled: false }
    })
    boss.on('error', () => {})
    await boss.start()
    try {
      return await use(jobAdmin(client, boss, jobsSchema(url)))
    } finally {
      await boss.stop({ graceful: false })
    }
  } finally {
    await client.end().catch(() => {})
  }
}

function jobAdmin (client: pg.Client, boss: PgBoss, schema: string): JobAdmin {
  const isDead = 'j.source_name IS NOT NULL AND j.source_output IS NOT NULL'
  const columns = `j.id, COALESCE(j.source_name, j.name) AS queue, CASE WHEN ${isDead} AND j.state IN ('created', 'retry', 'failed') THEN 'dead' ELSE j.state::text END AS state,
    COALESCE(j.source_retry_count, j.retry_count) + (j.source_name IS NOT NULL OR j.started_on IS NOT NULL)::int AS attempts, COALESCE(j.source_created_on, j.created_on) AS "createdAt",
    CASE WHEN j.state IN ('created', 'retry') AND j.source_name IS NULL THEN j.start_after END AS "startAfter",
    COALESCE(o.output ->> 'reason', o.output ->> 'message', o.output -> 'value' ->> 'message', o.output ->> 'value') AS reason, j.data -> 'payload' AS payload, j.data ->> 'requestId' AS "requestId"`

  async function queues (): Promise<string[]> {
    const { rows } = await client.query<{ name: string }>(`SELECT name FROM ${schema}.queue WHERE name NOT LIKE '\\_\\_pgboss%' ORDER BY name`)
    return rows.map(({ name }) => name).filter(name => !name.endsWith('.dead'))
  }

  async function known (queue: string | undefined): Promise<void> {
    const names = await queues()
    if (queue !== undefined && !names.includes(queue)) throw new CommandError(`There is no queue "${queue}"; there are: ${names.join(', ') || 'none'}.`)
  }

  async function list ({ queue, state, limit }: ListQuery): Promise<ListedJob[]> {
    await known(queue)
    const { rows } = await client.query<ListedJob>(`
      SELECT * FROM (
        SELECT ${columns} FROM ${schema}.job j CROSS JOIN LATERAL (SELECT COALESCE(j.source_output, j.output) AS output) o WHERE j.name NOT LIKE '\\_\\_pgboss%'
      ) listed
      WHERE ($1::text IS NULL OR queue = $1) AND CASE WHEN $2::text IS NULL THEN state NOT IN ('completed', 'failed') ELSE state = $2 END
      ORDER BY "createdAt" DESC, id LIMIT $3`, [queue ?? null, state ?? null, limit])
    return rows
  }

  /** The job of an id; of one that failed the dead one that stands for it. */
  async function find (id: string): Promise<Row | undefined> {
    const { rows } = await client.query<Row>(`SELECT id, name, state::text, source_name FROM ${schema}.job WHERE id = $1 OR (source_id = $1 AND state < 'active') ORDER BY source_name NULLS LAST LIMIT 1`, [id])
    return rows[0]
  }

  async function each (ids: string[], act: (row: Row) => Promise<string | undefined>): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    for (const id of new Set(ids)) {
      const row = await find(id)
      const done = row && await act(row)
      outcomes.push(done === undefined ? { id, problem: row ? `is ${row.state}` : 'there is no such job' } : { id, done })
    }
    return outcomes
  }

  async function retryOne ({ id, name, state, source_name: source }: Row): Promise<string | undefined> {
    if (source !== null) {
      // One that could not be moved before waits as failed.
      if (state === 'failed') await boss.retry(name, id)
      if (state === 'cancelled') await boss.resume(name, id)
      return await boss.redrive(name, { ids: [id] }) === 1 ? `is back on ${source}` : undefined
    }
    const affected = state === 'failed' ? await boss.retry(name, id) : state === 'cancelled' ? await boss.resume(name, id) : undefined
    return affected === undefined ? undefined : `is back on ${name}`
  }

  async function cancelOne ({ id, name, state }: Row): Promise<string | undefined> {
    if (!['created', 'retry', 'active'].includes(state)) return undefined
    await boss.cancel(name, id)
    return state === 'active' ? 'is cancelled; where it runs its signal fires within seconds' : 'is cancelled'
  }

  return {
    list,
    retry: ids => each(ids, retryOne),
    cancel: ids => each(ids, cancelOne),
    dead: async queue => {
      await known(queue)
      const { rows } = await client.query<{ id: string }>(`SELECT id FROM ${schema}.job WHERE name = $1 AND state IN ('created', 'retry', 'failed') ORDER BY created_on`, [`${queue}.dead`])
      return rows.map(({ id }) => id)
    }
  }
}

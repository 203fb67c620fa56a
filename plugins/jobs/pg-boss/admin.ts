// What an operator does with jobs, on the database alone: beside a running service or without one.
import type pg from 'pg'
import { PgBoss } from 'pg-boss'
import { each, knownQueue, NO_ROOM, unlessTaken, type JobAdmin, type Problem } from '../admin.ts'
import { withClient } from '../client.ts'
import { listJobs } from './list.ts'
import { jobsSchema, jobsSchemaState, queryOf } from './schema.ts'

interface Row { id: string, name: string, state: string, source_name: string | null, source_root_id: string | null, dead_letter: string | null }

/** Runs `use` on the jobs of a database. @throws Error with words for the operator */
export async function withJobAdmin<T> (url: string, use: (admin: JobAdmin) => Promise<T>): Promise<T> {
  return await withClient(url, async client => {
    const state = await jobsSchemaState(queryOf(client), jobsSchema(url))
    if (state !== 'current') throw new Error(state === 'newer' ? 'The tables of the jobs are of a later release.' : `The tables of the jobs are ${state}: run npm run db:migrate.`)
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
  })
}

function jobAdmin (client: pg.Client, boss: PgBoss, schema: string): JobAdmin {
  async function queues (): Promise<string[]> {
    const { rows } = await client.query<{ name: string }>(`SELECT name FROM ${schema}.queue WHERE name NOT LIKE '\\_\\_pgboss%' ORDER BY name`)
    return rows.map(({ name }) => name).filter(name => !name.endsWith('.dead'))
  }

  /** The row that stands for a job now, by its id or that of a row: each time it dies or is retried it has a new one. */
  async function find (id: string): Promise<Row | undefined> {
    const { rows } = await client.query<Row>(`
      WITH named AS (SELECT COALESCE(source_root_id, id) AS root FROM ${schema}.job WHERE id = $1 OR source_root_id = $1 LIMIT 1)
      SELECT id, name, state::text, source_name, source_root_id, dead_letter FROM ${schema}.job, named WHERE id = root OR source_root_id = root ORDER BY created_on DESC LIMIT 1`, [id])
    return rows[0]
  }

  async function retryOne (row: Row): Promise<string | Problem> {
    const { id, name, state, source_name: source } = row
    if (source !== null) {
      // One that could not be moved before waits as failed.
      if (state === 'failed') await boss.retry(name, id)
      if (state === 'cancelled') await boss.resume(name, id)
      if (await boss.redrive(name, { ids: [id] }) === 1) return `is back on ${source}`
      return ['created', 'failed', 'cancelled'].includes(state) ? NO_ROOM : { problem: `is ${state}` }
    }
    if (state === 'retry') {
      await boss.update(name, undefined, { id, startAfter: '0 seconds' })
      return `is due now on ${name}`
    }
    // What stood for it in the dead letter queue is gone from there.
    if (state === 'failed' && row.dead_letter !== null) return { problem: 'was retried before' }
    if (state === 'failed') await boss.retry(name, id)
    else if (state === 'cancelled') await boss.resume(name, id)
    else return { problem: row.source_root_id === null ? `is ${state}` : `was retried before, and is ${state}` }
    return `is back on ${name}`
  }

  async function cancelOne ({ id, name, state }: Row): Promise<string | Problem> {
    if (!['created', 'retry', 'active'].includes(state)) return { problem: `is ${state}` }
    await boss.cancel(name, id)
    return state === 'active' ? 'is cancelled; where it runs its signal fires within seconds' : 'is cancelled'
  }

  async function drop (queue: string): Promise<number> {
    knownQueue(queue, await queues())
    const { rows } = await client.query<{ name: string, state: string, count: number }>(`SELECT name, state::text, count(*)::int FROM ${schema}.job WHERE name IN ($1, $2) GROUP BY 1, 2`, [queue, `${queue}.dead`])
    if (rows.some(({ name, state }) => name === queue && state === 'active')) throw new Error(`A job of ${queue} is running: end the processes that have it in their code first.`)
    await boss.unschedule(queue)
    await boss.deleteQueue(queue)
    await boss.deleteQueue(`${queue}.dead`)
    return rows.filter(({ name, state }) => name === queue ? state === 'created' || state === 'retry' : true).reduce((sum, { count }) => sum + count, 0)
  }

  return {
    list: async query => {
      if (query.queue !== undefined) knownQueue(query.queue, await queues())
      return await listJobs(client, schema, query)
    },
    drop,
    retry: ids => each(ids, find, async row => {
      let answer: string | Problem = NO_ROOM
      await unlessTaken(async () => { answer = await retryOne(row) })
      return answer
    }),
    cancel: ids => each(ids, find, cancelOne),
    dead: async queue => {
      knownQueue(queue, await queues())
      const { rows } = await client.query<{ id: string }>(`SELECT id FROM ${schema}.job WHERE name = $1 AND state IN ('created', 'retry', 'failed') ORDER BY created_on`, [`${queue}.dead`])
      return rows.map(({ id }) => id)
    }
  }
}

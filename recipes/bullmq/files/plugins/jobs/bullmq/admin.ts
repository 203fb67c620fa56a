// What an operator does with jobs: what is in Redis, and what is not there yet or was taken back to the table.
import type { Job as BullJob } from 'bullmq'
import type { FastifyBaseLogger } from 'fastify'
import { each, knownQueue, NO_ROOM, type JobAdmin, type Problem } from '../admin.ts'
import { withClient } from '../client.ts'
import type { AdminOptions } from '../driver.ts'
import { readEnvelope } from '../envelope.ts'
import { redisUrl } from './driver.ts'
import { listJobs, STATE, stateOf } from './list.ts'
import type { Sql } from './outbox.ts'
import { openStore, ready, type Store } from './redis.ts'
import { SCHEDULES } from './settings.ts'
import { cancelWaiting, putBack, takeBack } from './take-back.ts'

const CONNECT_TIMEOUT_MS = 15_000
const DEFAULT_URL = 'redis://127.0.0.1:6379'

/** What goes wrong is an answer of the command. */
const SILENT = { warn: () => {}, debug: () => {} } as unknown as FastifyBaseLogger

/** A job, and where it is: in the table, or in Redis. */
interface Row { id: string, queue: string, state: string, job?: BullJob }

/** Runs `use` on the jobs of a database and its Redis. @throws Error with words for the operator */
export async function withJobAdmin<T> (options: AdminOptions, use: (admin: JobAdmin) => Promise<T>): Promise<T> {
  return await withStores(options, async (sql, store) => await use(jobAdmin(sql, store)))
}

/** Takes all jobs away. */
export async function clear (options: AdminOptions): Promise<void> {
  await withStores(options, async (sql, store) => {
    await sql('DELETE FROM outgoing_jobs')
    for (const name of await store.names()) {
      const queue = store.queue(name)
      await queue.drain(true)
      for (const state of ['completed', 'failed'] as const) await queue.clean(0, 0, state)
    }
  })
}

/** Runs `use` on a database and its Redis. @throws Error with words for the operator */
export async function withStores<T> ({ databaseUrl, setting }: AdminOptions, use: (sql: Sql, store: Store) => Promise<T>): Promise<T> {
  return await withClient(databaseUrl, async client => {
    const sql: Sql = async <Row>(text: string, ...values: unknown[]) => (await client.query(text, values)).rows as Row[]
    const [found] = await sql<{ present: boolean }>("SELECT to_regclass(format('%I.outgoing_jobs', COALESCE($1, current_schema()))) IS NOT NULL AS present", new URL(databaseUrl).searchParams.get('schema'))
    if (!found?.present) throw new Error('The tables of the jobs are missing: run npm run db:migrate.')
    const isProduction = setting('NODE_ENV') === 'production'
    const url = redisUrl({ JOBS_REDIS_URL: setting('JOBS_REDIS_URL') ?? (isProduction ? undefined : DEFAULT_URL), REDIS_URL: setting('REDIS_URL') })
    const store = openStore(url, databaseUrl, SILENT)
    try {
      if (!await ready(store, CONNECT_TIMEOUT_MS)) throw new Error(`Can't reach Redis at ${new URL(url).host}.`)
      return await use(sql, store)
    } finally {
      store.close()
    }
  })
}

function jobAdmin (sql: Sql, store: Store): JobAdmin {
  async function queues (): Promise<string[]> {
    const rows = await sql<{ queue: string }>('SELECT DISTINCT queue FROM outgoing_jobs')
    return [...new Set([...await store.names(), ...rows.map(({ queue }) => queue)])].sort()
  }

  async function known (queue: string | undefined): Promise<void> {
    if (queue !== undefined) knownQueue(queue, await queues())
  }

  async function find (id: string): Promise<Row | undefined> {
    for (const queue of await store.names()) {
      const job = await store.queue(queue).getJob(id)
      if (job !== undefined) return { id, queue, state: stateOf(job, await job.getState()), job }
    }
    return (await sql<Row>(`SELECT id::text, queue, ${STATE} AS state FROM outgoing_jobs WHERE id = $1::uuid AND state IN ('waiting', 'cancelled', 'held')`, id))[0]
  }

  async function retryOne ({ id, queue, state, job }: Row): Promise<string | Problem> {
    if (state === 'retry' && job !== undefined) {
      if (await job.isDelayed()) await job.promote()
      return `is due now on ${queue}`
    }
    if (state === 'dead' && job !== undefined) return await takeBack(sql, store, job, queue, 'waiting') === 'no room' ? NO_ROOM : `is back on ${queue}`
    if (state !== 'cancelled') return { problem: `is ${state}` }
    return await putBack(sql, id) ? `is back on ${queue}` : NO_ROOM
  }

  async function cancelOne ({ id, queue, state, job }: Row): Promise<string | Problem> {
    if (!['created', 'retry', 'active', 'dead'].includes(state)) return { problem: `is ${state}` }
    if (job !== undefined) {
      const taken = await takeBack(sql, store, job, queue, 'cancelled')
      return taken !== 'no room' && taken.wasRunning ? 'is cancelled; where it runs its signal fires within seconds' : 'is cancelled'
    }
    if (await cancelWaiting(sql, id)) return 'is cancelled'
    // It has gone to Redis meanwhile.
    const moved = await find(id)
    return moved === undefined ? { problem: 'has ended' } : await cancelOne(moved)
  }

  async function drop (queue: string): Promise<number> {
    await known(queue)
    const stored = store.queue(queue)
    const { active = 0, ...others } = await stored.getJobCounts('active', 'wait', 'prioritized', 'delayed', 'failed')
    if (active > 0) throw new Error(`A job of ${queue} is running: end the processes that have it in their code first.`)
    await store.queue(SCHEDULES).removeJobScheduler(queue)
    const rows = await sql<{ state: string }>('DELETE FROM outgoing_jobs WHERE queue = $1 RETURNING state', queue)
    await stored.obliterate({ force: true })
    await store.redis.srem(`${store.prefix}:queues`, queue)
    return rows.filter(({ state }) => state === 'waiting').length + Object.values(others).reduce((sum, count) => sum + count, 0)
  }

  return {
    list: async query => {
      await known(query.queue)
      return await listJobs(sql, store, query.queue === undefined ? await store.names() : [query.queue], query)
    },
    drop,
    retry: ids => each(ids, find, retryOne),
    cancel: ids => each(ids, find, cancelOne),
    dead: async queue => {
      await known(queue)
      const jobs = await store.queue(queue).getFailed()
      return jobs.map(({ id = '', data }) => readEnvelope(data).id ?? id).reverse()
    }
  }
}

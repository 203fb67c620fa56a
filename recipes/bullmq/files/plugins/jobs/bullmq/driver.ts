import { setTimeout as sleep } from 'node:timers/promises'
import { within } from '../../../server/within.ts'
import type { Config } from '../../config/index.ts'
import type { BackendOptions, JobBackend, JobDriver } from '../driver.ts'
import { JobsUnavailableError, type QueueCounts } from '../types.ts'
import { counts } from './counts.ts'
import * as outbox from './outbox.ts'
import type { Store } from './redis.ts'
import { createRelay, sqlOf, type Relay } from './relay.ts'
import { checkServer } from './health.ts'
import type { Workers } from './workers.ts'

/** For what is asked of Redis on behalf of somebody who waits. */
const PATIENCE_MS = 2_000
/** How often it is looked whether Redis has the schedules still. */
const LOOK_AGAIN_MS = 15_000

/** Redis of the jobs. */
export function redisUrl ({ JOBS_REDIS_URL, REDIS_URL }: Partial<Pick<Config, 'JOBS_REDIS_URL' | 'REDIS_URL'>>): string {
  const url = JOBS_REDIS_URL ?? REDIS_URL
  if (url === undefined) throw new Error('The jobs run on Redis: set JOBS_REDIS_URL, or REDIS_URL.')
  return url
}

/** BullMQ on Redis, with an outbox in the service's own database: a job is there when the transaction commits that sends it. */
export const driver: JobDriver = {
  name: 'bullmq',
  check: async (jobs, config) => {
    redisUrl(config)
    const { checkBullSchedules } = await import('./schedules.ts')
    await checkBullSchedules(jobs)
  },
  open,
  // Its table is one of the migrations.
  storage: {
    version: () => 'none',
    state: async () => 'current',
    apply: async () => false,
    clear: async options => await (await import('./admin.ts')).clear(options)
  },
  admin: async (options, use) => await (await import('./admin.ts')).withJobAdmin(options, use)
}

function open ({ config, databaseUrl, prisma, log, works, jobs, run }: BackendOptions): JobBackend {
  const sql = sqlOf(prisma)
  let store: Store | undefined
  const closing = new AbortController()
  let problem: string | undefined = 'not connected yet'
  let relay: Relay | undefined
  let workers: Workers | undefined

  /** BullMQ is loaded when it is first needed, which is never where jobs are only sent. */
  async function opened (): Promise<Store> {
    const { openStore } = await import('./redis.ts')
    store ??= openStore(redisUrl(config), databaseUrl, log)
    return store
  }

  async function keep (): Promise<void> {
    const [{ ready }, { syncBullSchedules, tick }, { createWorkers }] = await Promise.all([import('./redis.ts'), import('./schedules.ts'), import('./workers.ts')])
    if (closing.signal.aborted) return
    const store = await opened()
    relay = createRelay({ prisma, databaseUrl, store, log })
    const { wake } = relay
    const prepare = async (speaking = log) => {
      await store.note([...jobs.keys()])
      await syncBullSchedules(store, jobs, speaking)
    }
    while (!closing.signal.aborted) {
      try {
        if (!await ready(store, 1_000)) continue
        await checkServer(store.redis, log)
        await prepare()
        workers ??= createWorkers({
          url: redisUrl(config),
          prefix: store.prefix,
          log,
          run,
          begun: async ({ policy }, id) => { if (policy !== 'standard') await outbox.begun(sql, id).catch(error => log.debug({ err: error }, 'that a job has begun could not be noted')) },
          ended: ({ policy }, id) => {
            // What could not be noted is found out by the relay.
            if (policy !== 'standard') void outbox.ended(sql, id).then(wake, error => log.debug({ err: error }, 'that a job has ended could not be noted yet'))
          },
          tick: async (data, at) => {
            await tick(sql, data, at)
            wake()
          }
        })
        if (closing.signal.aborted) return
        await workers.start(jobs.values())
        relay.start()
        problem = undefined
        // It may have lost what it had: with a restart, or by somebody's hand.
        const quiet = log.child({}, { level: 'error' })
        const lookAgain = () => void prepare(quiet).catch(error => log.warn({ err: error }, 'the schedules could not be looked at'))
        store.redis.on('ready', lookAgain)
        const timer = setInterval(() => { if (store.isReady()) lookAgain() }, LOOK_AGAIN_MS).unref()
        closing.signal.addEventListener('abort', () => clearInterval(timer))
        return
      } catch (error) {
        store.renew()
        await workers?.close()
        workers = undefined
        log.error({ err: error }, 'the jobs are not running, and will be tried again')
        await sleep(1_000, undefined, { signal: closing.signal }).catch(() => {})
      }
    }
  }

  async function count (): Promise<QueueCounts[]> {
    const { ready } = await import('./redis.ts')
    const store = await opened()
    if (!await ready(store, PATIENCE_MS)) throw new JobsUnavailableError('The queues can\'t be counted: Redis is away.')
    return await counts(sql, store, [...jobs.keys()])
  }

  return {
    // The database keeps what is sent, whatever becomes of Redis.
    connected: async () => {},
    keep,
    send: async (job, envelope, options, db) => {
      const isThere = await outbox.put(sqlOf(db), job, envelope, options)
      if (db === prisma) relay?.wake()
      return isThere ? envelope.id : null
    },
    queues: count,
    backlog: async () => (await count()).flatMap(({ dead, ...queue }) => [queue, { name: `${queue.name}.dead`, ready: dead, deferred: 0, active: 0 }]),
    problem: async () => {
      if (!works || jobs.size === 0) return undefined
      if (problem !== undefined) return `the jobs are not running: ${problem}`
      return store?.isReady() ? relay?.problem() : 'the jobs are not running: Redis is away'
    },
    stop: () => {
      closing.abort()
      workers?.stop()
    },
    close: async () => {
      closing.abort()
      // One that waits for a Redis that is away ends with the connection, below.
      await within(relay?.close() ?? Promise.resolve(), PATIENCE_MS, () => {})
      await workers?.close()
      store?.close()
    }
  }
}

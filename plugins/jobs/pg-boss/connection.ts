import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import type { Clock, PgBoss } from 'pg-boss'
import { connectionProblem } from '../../../prisma/migrate.ts'
import { within } from '../../../server/within.ts'
import { KEEP_ALIVE } from '../../database/connection.ts'
import { JobsUnavailableError } from '../types.ts'

export interface ConnectionOptions {
  url: string
  schema: string
  /** Whether this process runs jobs, and does not only send them. */
  works: boolean
  log: FastifyBaseLogger
  /** Done with every new connection, before it counts as one. */
  prepare: (boss: PgBoss) => Promise<void>
}

export interface Connection {
  /** pg-boss, connected; the first call connects. @throws JobsUnavailableError */
  get: () => Promise<PgBoss>
  /** Connects, and tries again until it has or is closed. */
  keep: () => Promise<void>
  /** Why there is no connection; undefined while there is one. */
  problem: () => string | undefined
  close: () => Promise<void>
}

/** Connections at the most; a worker also has one that listens. */
const POOL_MAX = { worker: 4, web: 1 }
const CONNECT_TIMEOUT_MS = 10_000
/** Longer than the upkeep of many jobs takes. */
const PATIENCE: pg.ClientConfig = { ...KEEP_ALIVE, query_timeout: 30_000 }
/** For the statements that settle what has just ended. */
const STOP_TIMEOUT_MS = 2_000
const NOT_MIGRATED = /is not installed|requires migrations/
const MAX_WAIT_MS = 10_000
/** How often the same error is logged while it lasts. */
const REPEAT_MS = 30_000

// How often one of the workers looks for jobs whose worker is gone, and for schedules that are due.
const PASS_SECONDS = 5
// pg-boss polls for its flows, which jobs here do not have.
const NEVER_SECONDS = 12 * 3600

/** Time that does not jump with the clock of this machine: a poll of a worker must not wait for an hour that went back. */
const clock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: timer => clearTimeout(timer as NodeJS.Timeout),
  setInterval: (callback, ms) => setInterval(callback, ms),
  clearInterval: timer => clearInterval(timer as NodeJS.Timeout)
}

/** pg-boss on connections of its own. It is loaded when it is first needed, and once connected deals itself with those that it loses. */
export function createConnection ({ url, schema, works, log, prepare }: ConnectionOptions): Connection {
  const closing = new AbortController()
  const report = quietly(log, url)
  let connected: PgBoss | undefined
  let attempt: Promise<PgBoss> | undefined
  let problem: string | undefined = 'not connected yet'

  async function open (): Promise<PgBoss> {
    const { PgBoss } = await import('pg-boss')
    const boss = new PgBoss({
      connectionString: url,
      schema,
      max: works ? POOL_MAX.worker : POOL_MAX.web,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      // pg-boss hands what it does not know on to pg: a connection that is dead without a word is given up.
      ...PATIENCE,
      migrate: false,
      createSchema: false,
      supervise: works,
      schedule: works,
      useListenNotify: works,
      superviseIntervalSeconds: PASS_SECONDS,
      monitorIntervalSeconds: PASS_SECONDS,
      cronMonitorIntervalSeconds: PASS_SECONDS,
      cronWorkerIntervalSeconds: 1,
      flowIntervalSeconds: NEVER_SECONDS,
      // Rebuilding indexes is for the owner of the tables, and vacuuming for the server.
      reindex: false,
      monitorVacuum: false,
      registerInstance: false,
      openTelemetry: { enabled: false },
      clock
    })
    boss.on('error', error => report('warn', error, 'the jobs had trouble with the database'))
    boss.on('warning', ({ message, data }) => log.warn({ data }, message))
    try {
      await boss.start()
      await prepare(boss)
      return boss
    } catch (error) {
      await boss.stop({ graceful: false }).catch(() => {})
      throw error
    }
  }

  async function get (): Promise<PgBoss> {
    if (connected) return connected
    if (closing.signal.aborted) throw new JobsUnavailableError('The service is shutting down.')
    attempt ??= open().then(boss => {
      connected = boss
      problem = undefined
      return boss
    }).finally(() => { attempt = undefined })
    try {
      return await attempt
    } catch (error) {
      problem = connectionProblem(error, url) ?? (error as Error).message.replace(NOT_MIGRATED, '$&: run npm run db:migrate')
      throw new JobsUnavailableError(`Jobs can't be sent or run: ${problem}`, { cause: error })
    }
  }

  return {
    get,
    problem: () => problem,
    keep: async () => {
      for (let wait = 500; !closing.signal.aborted; wait = Math.min(wait * 2, MAX_WAIT_MS)) {
        try {
          await get()
          return
        } catch (error) {
          if (!closing.signal.aborted) report('error', error, 'the jobs are not running, and will be tried again')
          await sleep(wait, undefined, { signal: closing.signal }).catch(() => {})
        }
      }
    },
    close: async () => {
      closing.abort()
      await attempt?.catch(() => {})
      // One that is dead does not end.
      if (connected) await within(connected.stop({ graceful: true, timeout: STOP_TIMEOUT_MS }), STOP_TIMEOUT_MS + 500, () => {})
    }
  }
}

/** A worker polls, so an error comes again and again: each kind is logged when it is new, and then now and then. */
function quietly (log: FastifyBaseLogger, url: string): (level: 'warn' | 'error', error: unknown, message: string) => void {
  const last = new Map<string, number>()
  return (level, error, message) => {
    const { cause = error } = error as { cause?: unknown }
    const said = connectionProblem(cause, url) ?? (error as Error).message.replace(/ \(Queue: .*$/s, '')
    const now = performance.now()
    if (now - (last.get(said) ?? -REPEAT_MS) < REPEAT_MS) return
    last.set(said, now)
    log[level]({ reason: said }, message)
  }
}

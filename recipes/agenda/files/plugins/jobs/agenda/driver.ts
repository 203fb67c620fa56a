import { setTimeout as sleep } from 'node:timers/promises'
import { within } from '../../../server/within.ts'
import type { BackendOptions, JobBackend, JobDriver } from '../driver.ts'
import { counts } from './counts.ts'
import { put, sqlOf } from './sending.ts'
import type { Workers } from './workers.ts'

const MAX_WAIT_MS = 10_000
const PATIENCE_MS = 2_000

/** Agenda on a table of the service's own database: a job is there when the transaction commits that sends it. */
export const driver: JobDriver = {
  name: 'agenda',
  // Agenda is loaded when it is first needed, which is never where jobs are only sent.
  check: async jobs => await (await import('./schedules.ts')).checkAgendaSchedules(jobs),
  open,
  // Its tables are of the migrations.
  storage: {
    version: () => 'none',
    state: async () => 'current',
    apply: async () => false,
    clear: async ({ databaseUrl }) => await (await import('./admin.ts')).clear(databaseUrl)
  },
  admin: async ({ databaseUrl }, use) => await (await import('./admin.ts')).withJobAdmin(databaseUrl, use)
}

function open (options: BackendOptions): JobBackend {
  const { prisma, log, works, jobs } = options
  const closing = new AbortController()
  let problem: string | undefined = 'not connected yet'
  let workers: Workers | undefined

  async function keep (): Promise<void> {
    const { createWorkers } = await import('./workers.ts')
    for (let wait = 500; !closing.signal.aborted; wait = Math.min(wait * 2, MAX_WAIT_MS)) {
      const made = createWorkers(options)
      try {
        await made.start()
        if (closing.signal.aborted) return await made.close()
        workers = made
        problem = undefined
        return
      } catch (error) {
        problem = (error as Error).message
        log.error({ err: error }, 'the jobs are not running, and will be tried again')
        await made.close().catch(() => {})
        await sleep(wait, undefined, { signal: closing.signal }).catch(() => {})
      }
    }
  }

  const count = async () => await counts(sqlOf(prisma), [...jobs.keys()])
  let kept: Promise<void> | undefined

  return {
    // What is sent goes through the caller's own connection.
    connected: async () => {},
    keep: async () => {
      kept = keep()
      await kept
    },
    send: async (job, envelope, options, db) => {
      const isThere = await put(sqlOf(db), job, envelope, options)
      // The embedded database is heard by no listener.
      if (db === prisma) workers?.ring(job.name)
      return isThere ? envelope.id : null
    },
    queues: count,
    backlog: async () => (await count()).flatMap(({ dead, ...queue }) => [queue, { name: `${queue.name}.dead`, ready: dead, deferred: 0, active: 0 }]),
    problem: async () => {
      if (!works || jobs.size === 0) return undefined
      const said = problem ?? workers?.problem()
      return said === undefined ? undefined : `the jobs are not running: ${said}`
    },
    stop: () => {
      closing.abort()
      workers?.stop()
    },
    close: async () => {
      closing.abort()
      // One that waits for a database that is away ends by itself.
      await within(Promise.resolve(kept), PATIENCE_MS, () => {})
      await workers?.close()
    }
  }
}

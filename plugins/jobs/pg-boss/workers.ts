import type { FastifyBaseLogger } from 'fastify'
import type { JobResult, JobWithMetadata, PgBoss } from 'pg-boss'
import type { Attempt, BackendOptions } from '../driver.ts'
import type { Job } from '../types.ts'
import { handBack } from './hand-back.ts'
import { postpone, releaseKeys } from './ordered.ts'

export interface WorkersOptions extends Pick<BackendOptions, 'run'> {
  log: FastifyBaseLogger
  /** Of pg-boss's tables. */
  schema: string
}

export interface Workers {
  /** Begins to fetch the jobs of a queue. */
  work: (boss: PgBoss, job: Job) => Promise<void>
  /** Fetches no more. */
  stop: () => void
}

/** Delayed jobs and retries are not announced: the first worker of a queue looks for them, the others help it. */
const POLL_SECONDS = { first: 2, other: 30 }

/** Fetches jobs, and settles them by what running them gives. */
export function createWorkers ({ log, schema, run }: WorkersOptions): Workers {
  const queues = new Map<string, PgBoss>()
  const releases: { stop: () => void }[] = []

  async function work (boss: PgBoss, job: Job): Promise<void> {
    queues.set(job.name, boss)
    if (job.policy === 'key_strict_fifo') releases.push(releaseKeys(boss, job.name, log))
    const ids: string[] = []
    for (let index = 0; index * job.batch < job.concurrency; index++) {
      const seconds = index === 0 ? POLL_SECONDS.first : POLL_SECONDS.other
      // The last takes what is left, so that all of them together run no more than `concurrency`.
      const batchSize = Math.min(job.batch, job.concurrency - index * job.batch)
      const options = { batchSize, perJobResults: true, includeMetadata: true, pollingIntervalSeconds: seconds, notifyPollingIntervalSeconds: seconds } as const
      ids.push(await boss.work(job.name, options, async (fetched: JobWithMetadata<unknown>[]) => {
        // There may be more: look again right after this batch, and let the next worker look now.
        boss.notifyWorker(ids[index] ?? '')
        if (fetched.length === batchSize) boss.notifyWorker(ids[(index + 1) % ids.length] ?? '')
        return await Promise.all(fetched.map(async (one): Promise<JobResult> => ({ id: one.id, ...await run(job, attemptOf(boss, job, one)) })))
      }))
    }
  }

  function attemptOf (boss: PgBoss, job: Job, fetched: JobWithMetadata<unknown>): Attempt {
    const { id, sourceRootId, data, retryCount, retryLimit, signal } = fetched
    return {
      rowId: id,
      id: sourceRootId ?? id,
      data,
      number: retryCount + 1,
      // Of the row: an operator's retry, and being handed back, add an attempt.
      isLast: retryCount >= retryLimit,
      signal,
      postpone: async (failure, delayMs) => await postpone(boss, job, fetched, failure, delayMs),
      handBack: async failure => await handBack(boss, schema, fetched, failure)
    }
  }

  return {
    work,
    stop: () => {
      for (const release of releases) release.stop()
      for (const [name, boss] of queues) void boss.offWork(name, { wait: false })
    }
  }
}

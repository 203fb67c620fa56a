import { UnrecoverableError, WaitingError, Worker, type Job as BullJob, type MinimalJob } from 'bullmq'
import type { Redis } from 'ioredis'
import { connectRedis } from '../../../server/redis.ts'
import { within } from '../../../server/within.ts'
import type { Attempt, BackendOptions, Failure } from '../driver.ts'
import type { Job } from '../types.ts'
import { asConnection } from './redis.ts'
import { backoffMs, SCHEDULES, SIGNS_OF_LIFE } from './settings.ts'

export interface WorkersOptions extends Pick<BackendOptions, 'run' | 'log'> {
  url: string
  prefix: string
  /** Is told that a job has begun, or has ended, done or dead. */
  begun: (job: Job, id: string) => Promise<void>
  ended: (job: Job, id: string) => void
  /** A time of a schedule has come. */
  tick: (data: unknown, at: number) => Promise<void>
}

export interface Workers {
  /** Begins to fetch jobs. */
  start: (jobs: Iterable<Job>) => Promise<void>
  /** Fetches no more. */
  stop: () => void
  close: () => Promise<void>
}

/** A worker that can be left alone. */
class Leavable extends Worker {
  /** Renews no lock any more. One that ends in order does so last, which it never comes to when Redis is away. */
  async leave (): Promise<void> {
    await this.lockManager.close()
  }
}

/** The next attempt is not to come earlier. */
class Postponed extends Error {
  readonly delayMs: number

  constructor (reason: string, delayMs: number) {
    super(reason)
    this.delayMs = delayMs
  }
}

const CLOSE_MS = 2_000
const MAX_POSTPONE_MS = 86_400_000
/** A time that could not be seen to, the database being away, is seen to later. */
const TICK_RETRY_MS = 2_000

/** Fetches jobs from Redis, and settles them by what running them gives. */
export function createWorkers ({ url, prefix, log, run, begun, ended, tick }: WorkersOptions): Workers {
  const workers: Leavable[] = []
  let isStopped = false
  /** Of each worker, where it waits for jobs: one that BullMQ leaves behind would try to connect for ever. */
  const waiting: Redis[] = []
  let redis: Redis | undefined

  function connect (): Redis {
    const redis = connectRedis(url, log, 'Redis is away: no jobs are run', { maxRetriesPerRequest: null })
    const duplicate = redis.duplicate.bind(redis)
    redis.duplicate = options => {
      const copy = duplicate(options)
      waiting.push(copy)
      return copy
    }
    return redis
  }

  function make (name: string, concurrency: number, maxStalledCount: number, backoffStrategy: (failed: number, type?: string, error?: Error, job?: MinimalJob) => number, process: (job: BullJob, token: string | undefined, signal: AbortSignal | undefined) => Promise<void>): Worker {
    redis ??= connect()
    const worker = new Leavable(name, process, {
      connection: asConnection(redis), prefix, concurrency, maxStalledCount, ...SIGNS_OF_LIFE, skipVersionCheck: true, settings: { backoffStrategy }
    })
    // That Redis is away is said by the connection.
    worker.on('error', error => log.debug({ err: error, queue: name }, 'a worker had trouble with Redis'))
    // Cancelled, or taken for dead: another may have it.
    worker.on('lockRenewalFailed', ids => { for (const id of ids) worker.cancelJob(id) })
    workers.push(worker)
    return worker
  }

  function work (job: Job): void {
    const delays = (failed: number, _type?: string, error?: Error) => {
      const usual = backoffMs(job.retry, failed)
      return error instanceof Postponed ? Math.max(usual, Math.min(error.delayMs, MAX_POSTPONE_MS)) : usual
    }
    const here = new Map<string, AbortController>()
    const worker = make(job.name, job.concurrency, job.retry.limit, delays, async (fetched, token, signal = new AbortController().signal) => {
      // It was waited for when fetching stopped.
      if (isStopped) {
        await fetched.moveToWait(token)
        throw new WaitingError()
      }
      const { id = '' } = fetched
      const own = new AbortController()
      // BullMQ renews the lock of the last one of an id: one before it, that was cancelled and had back at once, would not find out.
      here.get(id)?.abort()
      here.set(id, own)
      try {
        await begun(job, id)
        await settle(job, fetched, token ?? '', AbortSignal.any([signal, own.signal]))
      } finally {
        if (here.get(id) === own) here.delete(id)
      }
    })
    worker.on('completed', ({ id = '' }) => ended(job, id))
    worker.on('failed', (fetched, error) => {
      if (fetched === undefined || fetched.finishedOn === undefined) return
      if (fetched.deferredFailure) log.error({ queue: job.name, jobId: fetched.id, reason: error.message }, 'a job has ended its process too often: it is dead')
      ended(job, fetched.id ?? '')
    })
  }

  /** Throws what BullMQ settles a job by, or returns when it is done. */
  async function settle (job: Job, fetched: BullJob, token: string, signal: AbortSignal): Promise<void> {
    const { id = '', data, attemptsStarted, attemptsMade, opts } = fetched
    let delayMs: number | undefined
    let isBack = false
    const attempt: Attempt = {
      rowId: id,
      id,
      data,
      number: attemptsStarted,
      isLast: attemptsMade + 1 >= (opts.attempts ?? 1),
      signal,
      postpone: async (_failure, ms) => { delayMs = ms },
      handBack: async ({ reason }: Failure) => {
        await redis?.hset(`${prefix}:${job.name}:${id}`, 'failedReason', reason)
        await fetched.moveToWait(token)
        isBack = true
      }
    }
    const verdict = await run(job, attempt)
    if (isBack) throw new WaitingError()
    if (verdict.status === 'completed') return
    const { reason } = verdict.output
    if (verdict.status === 'deadletter') throw new UnrecoverableError(reason)
    throw delayMs === undefined ? new Error(reason) : new Postponed(reason, delayMs)
  }

  return {
    start: async jobs => {
      for (const job of jobs) work(job)
      make(SCHEDULES, 1, 1_000_000, () => TICK_RETRY_MS, async ({ id = '', data }) => await tick(data, Number(id.split(':').at(-1))))
      await Promise.all(workers.map(async worker => await worker.waitUntilReady()))
    },
    stop: () => {
      isStopped = true
      for (const worker of workers) void worker.pause(true).catch(() => {})
    },
    close: async () => {
      // One whose Redis is away does not end.
      await within(Promise.allSettled(workers.map(async worker => await worker.close())), CLOSE_MS, () => {})
      for (const worker of workers) await worker.leave()
      for (const one of [...waiting, redis]) one?.disconnect()
    }
  }
}

import { channel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger } from 'fastify'
import type { Job as Fetched, JobResult, PgBoss } from 'pg-boss'
import { tracing } from '../../server/trace.ts'
import { wordsOf } from '../errors/words.ts'
import { bindingsOf, readEnvelope, type Envelope, type Origin } from './envelope.ts'
import { postpone, releaseKeys } from './ordered.ts'
import type { AttemptError, Job, JobSender } from './types.ts'

export interface RunnerOptions {
  log: FastifyBaseLogger
  /** A sender for the handlers of jobs with this origin. */
  sender: (origin: Origin) => JobSender
}

export interface Runner {
  /** Begins to fetch the jobs of a queue and to run them. */
  work: (boss: PgBoss, job: Job) => Promise<void>
  /** Fetches no more. What runs has `graceMs`; then its signal fires. */
  stop: (graceMs: number) => void
  /** The queues of what runs, one for each. */
  names: () => string[]
  /** Resolves when nothing runs any more. */
  drained: () => Promise<void>
}

/** What a handler gets to stop by itself once its signal has fired; then it is left alone. */
const GIVE_UP_MS = 1_000
/** Delayed jobs and retries are not announced: the first worker of a queue looks for them, the others help it. */
const POLL_SECONDS = { first: 2, other: 30 }
const SHUTDOWN = 'The service is shutting down'

/** Is told of each attempt `{ queue, outcome: 'done' | 'retry' | 'dead', durationMs }`. */
const attempts = channel('keel:job')

/** Runs jobs: checks payloads, ends attempts that take too long, and says of each how it went. */
export function createRunner ({ log, sender }: RunnerOptions): Runner {
  const running = new Map<AbortController, { queue: string, ended: Promise<unknown> }>()
  const queues = new Map<string, PgBoss>()
  const releases: { stop: () => void }[] = []
  let deadline: NodeJS.Timeout | undefined
  let isOver = false

  async function work (boss: PgBoss, job: Job): Promise<void> {
    queues.set(job.name, boss)
    if (job.policy === 'key_strict_fifo') releases.push(releaseKeys(boss, job.name, log))
    const ids: string[] = []
    for (let index = 0; index < Math.ceil(job.concurrency / job.batch); index++) {
      const seconds = index === 0 ? POLL_SECONDS.first : POLL_SECONDS.other
      const options = { batchSize: job.batch, perJobResults: true, pollingIntervalSeconds: seconds, notifyPollingIntervalSeconds: seconds } as const
      ids.push(await boss.work(job.name, options, async (fetched: Fetched<unknown>[]) => {
        // There may be more: look again right after this batch, and let the next worker look now.
        boss.notifyWorker(ids[index] ?? '')
        if (fetched.length === job.batch) boss.notifyWorker(ids[(index + 1) % ids.length] ?? '')
        return await Promise.all(fetched.map(one => runTraced(boss, job, one)))
      }))
    }
  }

  /** In the trace of who sent it, where traces are collected. */
  async function runTraced (boss: PgBoss, job: Job, fetched: Fetched<unknown>): Promise<JobResult> {
    const envelope = readEnvelope(fetched.data)
    const { inJob } = tracing() ?? {}
    if (inJob === undefined) return await run(boss, job, fetched, envelope)
    const named = { queue: job.name, id: fetched.id, attempt: fetched.retryCount + 1 }
    return await inJob(named, envelope, async carrier => await run(boss, job, fetched, { ...envelope, ...carrier }), ({ status }) => status === 'completed')
  }

  async function run (boss: PgBoss, job: Job, fetched: Fetched<unknown>, { id: stableId, payload, ...origin }: Envelope): Promise<JobResult> {
    const attempt = fetched.retryCount + 1
    const jobLog = log.child({ queue: job.name, jobId: fetched.id, attempt, ...bindingsOf(origin) })
    const misfit = job.check(payload)
    if (misfit !== undefined) {
      jobLog.error({ reason: misfit }, 'a job does not fit its schema: it goes to the dead letter queue')
      attempts.publish({ queue: job.name, outcome: 'dead', durationMs: 0 })
      return { id: fetched.id, status: 'deadletter', output: { reason: `The payload does not fit the schema: ${misfit}` } }
    }
    if (isOver) return { id: fetched.id, status: 'failed', output: { reason: SHUTDOWN } }
    const began = performance.now()
    const durationMs = () => Math.round(performance.now() - began)
    const control = new AbortController()
    try {
      const context = { id: stableId ?? fetched.id, payload: payload as never, attempt, signal: control.signal, log: jobLog, jobs: sender(origin) }
      await supervise(job, control, fetched.signal, async () => await job.handler(context))
      jobLog.info({ durationMs: durationMs() }, 'job done')
      attempts.publish({ queue: job.name, outcome: 'done', durationMs: durationMs() })
      return { id: fetched.id, status: 'completed' }
    } catch (error) {
      const { retry, retryAfterMs } = error as AttemptError
      const isLast = retry === false || attempt > job.retry.limit
      jobLog[isLast ? 'error' : 'warn']({ err: error, durationMs: durationMs() }, isLast ? 'job failed for the last time: it goes to the dead letter queue' : 'job failed, and will be tried again')
      attempts.publish({ queue: job.name, outcome: isLast ? 'dead' : 'retry', durationMs: durationMs() })
      const output = { reason: wordsOf(error) }
      if (!isLast && retryAfterMs !== undefined) await postpone(boss, job, fetched, output, retryAfterMs)
      return { id: fetched.id, status: retry === false ? 'deadletter' : 'failed', output }
    }
  }

  /** Runs a handler until it ends, or does not end within a moment of its signal. */
  async function supervise ({ name: queue, timeoutSeconds }: Job, control: AbortController, taken: AbortSignal, handle: () => Promise<void>): Promise<void> {
    const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>()
    let patience: NodeJS.Timeout | undefined
    control.signal.addEventListener('abort', () => {
      const { message } = control.signal.reason as Error
      patience = setTimeout(() => giveUp(new Error(`${message}; the handler ignores its signal and was left alone`)), GIVE_UP_MS)
    })
    const timer = setTimeout(() => control.abort(new Error(`The time-out of ${timeoutSeconds} s has passed`)), timeoutSeconds * 1000)
    const onTaken = () => control.abort(new Error('The job was cancelled, or another worker has it'))
    taken.addEventListener('abort', onTaken, { once: true })
    const ended = Promise.race([handle(), givenUp])
    running.set(control, { queue, ended: ended.catch(() => {}) })
    try {
      await ended
    } finally {
      running.delete(control)
      clearTimeout(timer)
      clearTimeout(patience)
      taken.removeEventListener('abort', onTaken)
    }
  }

  return {
    work,
    stop: graceMs => {
      for (const release of releases) release.stop()
      for (const [name, boss] of queues) void boss.offWork(name, { wait: false })
      deadline ??= setTimeout(() => {
        isOver = true
        for (const control of running.keys()) control.abort(new Error(SHUTDOWN))
      }, graceMs)
    },
    names: () => [...running.values()].map(({ queue }) => queue),
    drained: async () => {
      while (running.size > 0) await Promise.all([...running.values()].map(({ ended }) => ended))
      clearTimeout(deadline)
    }
  }
}

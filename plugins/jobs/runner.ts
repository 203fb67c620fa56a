import { channel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger } from 'fastify'
import type { JobResult, JobWithMetadata, PgBoss } from 'pg-boss'
import { bindingsOf, tracing, type Origin } from '../../server/trace.ts'
import { wordsOf } from '../errors/words.ts'
import { readEnvelope, type Envelope } from './envelope.ts'
import { handBack } from './hand-back.ts'
import { postpone, releaseKeys } from './ordered.ts'
import { causeOf, createSupervisor, ShutdownError } from './supervisor.ts'
import type { AttemptError, Job, JobSender } from './types.ts'

export interface RunnerOptions {
  log: FastifyBaseLogger
  /** Of pg-boss's tables. */
  schema: string
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

/** A job that was fetched, where it came from, and its log. */
interface Taken { boss: PgBoss, job: Job, fetched: JobWithMetadata<unknown>, log: FastifyBaseLogger }

/** Delayed jobs and retries are not announced: the first worker of a queue looks for them, the others help it. */
const POLL_SECONDS = { first: 2, other: 30 }

/** Is told of each attempt `{ queue, outcome: 'done' | 'retry' | 'dead', durationMs }`. */
const attempts = channel('keel:job')

/** Runs jobs: checks payloads, ends attempts that take too long, and says of each how it went. */
export function createRunner ({ log, schema, sender }: RunnerOptions): Runner {
  const supervisor = createSupervisor()
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
        return await Promise.all(fetched.map(one => settled(boss, job, one)))
      }))
    }
  }

  /** Runs one job of a batch. Never rejects: the others of the batch would fail with it. */
  async function settled (boss: PgBoss, job: Job, fetched: JobWithMetadata<unknown>): Promise<JobResult> {
    try {
      return await runTraced(boss, job, fetched)
    } catch {
      // Not even to be described: it throws when it is looked at.
      log.error({ queue: job.name, jobId: fetched.id }, 'a job failed with something that can\'t be read')
      return { id: fetched.id, status: 'failed', output: { reason: 'The handler threw something that can\'t be read' } }
    }
  }

  /** In the trace of who sent it, where traces are collected. */
  async function runTraced (boss: PgBoss, job: Job, fetched: JobWithMetadata<unknown>): Promise<JobResult> {
    const { id = fetched.sourceRootId ?? fetched.id, ...rest } = readEnvelope(fetched.data)
    const envelope = { id, ...rest }
    const { inJob } = tracing() ?? {}
    if (inJob === undefined) return await run(boss, job, fetched, envelope)
    const named = { queue: job.name, id, attempt: fetched.retryCount + 1 }
    return await inJob(named, envelope, async carrier => await run(boss, job, fetched, { ...envelope, ...carrier }), ({ status }) => status === 'completed')
  }

  async function run (boss: PgBoss, job: Job, fetched: JobWithMetadata<unknown>, { id, payload, ...origin }: Envelope & { id: string }): Promise<JobResult> {
    const attempt = fetched.retryCount + 1
    const jobLog = log.child({ queue: job.name, jobId: id, ...id === fetched.id ? {} : { rowId: fetched.id }, attempt, ...bindingsOf(origin) })
    const taken = { boss, job, fetched, log: jobLog }
    const misfit = job.check(payload)
    if (misfit !== undefined) {
      jobLog.error({ reason: misfit }, 'a job does not fit its schema: it goes to the dead letter queue')
      attempts.publish({ queue: job.name, outcome: 'dead', durationMs: 0 })
      return { id: fetched.id, status: 'deadletter', output: { reason: `The payload does not fit the schema: ${misfit}` } }
    }
    const began = performance.now()
    const durationMs = () => Math.round(performance.now() - began)
    const control = new AbortController()
    try {
      await supervisor.run(job, control, fetched.signal, async () => {
        await job.handler({ id, payload: payload as never, attempt, signal: control.signal, log: jobLog, jobs: sender(origin) })
      })
      jobLog.info({ durationMs: durationMs() }, 'job done')
      attempts.publish({ queue: job.name, outcome: 'done', durationMs: durationMs() })
      return { id: fetched.id, status: 'completed' }
    } catch (error) {
      const isInterrupted = control.signal.reason instanceof ShutdownError
      return await (isInterrupted ? interrupted : failed)(taken, error, control.signal, durationMs())
    }
  }

  async function failed ({ boss, job, fetched, log }: Taken, error: unknown, signal: AbortSignal, durationMs: number): Promise<JobResult> {
    const { retry, retryAfterMs } = Object(error) as AttemptError
    // Of the row: an operator's retry, and being handed back, add an attempt.
    const isLast = retry === false || fetched.retryCount >= fetched.retryLimit
    log[isLast ? 'error' : 'warn']({ err: error, durationMs }, isLast ? 'job failed for the last time: it goes to the dead letter queue' : 'job failed, and will be tried again')
    attempts.publish({ queue: job.name, outcome: isLast ? 'dead' : 'retry', durationMs })
    const output = { reason: wordsOf(causeOf(error, signal)) }
    if (!isLast && Number.isFinite(retryAfterMs)) {
      await postpone(boss, job, fetched, output, Number(retryAfterMs)).catch(fault => {
        log.warn({ err: fault }, 'the next attempt could not be put off: it comes in its usual time')
      })
    }
    return { id: fetched.id, status: retry === false ? 'deadletter' : 'failed', output }
  }

  async function interrupted ({ boss, job, fetched, log }: Taken, error: unknown, signal: AbortSignal, durationMs: number): Promise<JobResult> {
    const output = { reason: wordsOf(causeOf(error, signal)) }
    try {
      await handBack(boss, schema, fetched, output)
      log.info({ durationMs }, 'the service is shutting down: the job is handed back')
      attempts.publish({ queue: job.name, outcome: 'retry', durationMs })
    } catch (fault) {
      log.warn({ err: fault, durationMs }, 'the service is shutting down: the job could not be handed back, and counts as failed')
    }
    // What was handed back is found settled.
    return { id: fetched.id, status: 'failed', output }
  }

  return {
    work,
    stop: graceMs => {
      for (const release of releases) release.stop()
      for (const [name, boss] of queues) void boss.offWork(name, { wait: false })
      supervisor.stop(graceMs)
    },
    names: supervisor.names,
    drained: supervisor.drained
  }
}

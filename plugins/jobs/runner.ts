import { channel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger } from 'fastify'
import { bindingsOf, tracing, type Origin } from '../../server/trace.ts'
import { wordsOf } from '../errors/words.ts'
import type { Attempt, Verdict } from './driver.ts'
import { readEnvelope, type Envelope } from './envelope.ts'
import { causeOf, createSupervisor, ShutdownError } from './supervisor.ts'
import type { AttemptError, Job, JobSender } from './types.ts'

export interface RunnerOptions {
  log: FastifyBaseLogger
  /** What traces call the system that the jobs come from. */
  system: string
  /** A sender for the handlers of jobs with this origin. */
  sender: (origin: Origin) => JobSender
}

export interface Runner {
  /** Runs an attempt. Never rejects: others may be settled with it. */
  run: (job: Job, attempt: Attempt) => Promise<Verdict>
  /** What runs has `graceMs`; then its signal fires. */
  stop: (graceMs: number) => void
  /** The queues of what runs, one for each. */
  names: () => string[]
  /** Resolves when nothing runs any more. */
  drained: () => Promise<void>
}

/** An attempt, and the log of its job. */
interface Taken { job: Job, attempt: Attempt, log: FastifyBaseLogger }

/** Is told of each attempt `{ queue, outcome: 'done' | 'retry' | 'dead', durationMs }`. */
const attempts = channel('keel:job')

/** Runs jobs: checks payloads, ends attempts that take too long, and says of each how it went. */
export function createRunner ({ log, system, sender }: RunnerOptions): Runner {
  const supervisor = createSupervisor()

  async function settled (job: Job, attempt: Attempt): Promise<Verdict> {
    try {
      return await runTraced(job, attempt)
    } catch {
      // Not even to be described: it throws when it is looked at.
      log.error({ queue: job.name, jobId: attempt.id }, 'a job failed with something that can\'t be read')
      return { status: 'failed', output: { reason: 'The handler threw something that can\'t be read' } }
    }
  }

  /** In the trace of who sent it, where traces are collected. */
  async function runTraced (job: Job, attempt: Attempt): Promise<Verdict> {
    const { id = attempt.id, ...rest } = readEnvelope(attempt.data)
    const envelope = { id, ...rest }
    const { inJob } = tracing() ?? {}
    if (inJob === undefined) return await run(job, attempt, envelope)
    const named = { queue: job.name, id, attempt: attempt.number, system }
    return await inJob(named, envelope, async carrier => await run(job, attempt, { ...envelope, ...carrier }), ({ status }) => status === 'completed')
  }

  async function run (job: Job, attempt: Attempt, { id, payload, ...origin }: Envelope & { id: string }): Promise<Verdict> {
    const { rowId, number } = attempt
    const jobLog = log.child({ queue: job.name, jobId: id, ...id === rowId ? {} : { rowId }, attempt: number, ...bindingsOf(origin) })
    const taken = { job, attempt, log: jobLog }
    const misfit = job.check(payload)
    if (misfit !== undefined) {
      jobLog.error({ reason: misfit }, 'a job does not fit its schema: it goes to the dead letter queue')
      attempts.publish({ queue: job.name, outcome: 'dead', durationMs: 0 })
      return { status: 'deadletter', output: { reason: `The payload does not fit the schema: ${misfit}` } }
    }
    const began = performance.now()
    const durationMs = () => Math.round(performance.now() - began)
    const control = new AbortController()
    try {
      await supervisor.run(job, control, attempt.signal, async () => {
        await job.handler({ id, payload: payload as never, attempt: number, signal: control.signal, log: jobLog, jobs: sender(origin) })
      })
      jobLog.info({ durationMs: durationMs() }, 'job done')
      attempts.publish({ queue: job.name, outcome: 'done', durationMs: durationMs() })
      return { status: 'completed' }
    } catch (error) {
      const isInterrupted = control.signal.reason instanceof ShutdownError
      return await (isInterrupted ? interrupted : failed)(taken, error, control.signal, durationMs())
    }
  }

  async function failed ({ job, attempt, log }: Taken, error: unknown, signal: AbortSignal, durationMs: number): Promise<Verdict> {
    const { retry, retryAfterMs } = Object(error) as AttemptError
    const isLast = retry === false || attempt.isLast
    log[isLast ? 'error' : 'warn']({ err: error, durationMs }, isLast ? 'job failed for the last time: it goes to the dead letter queue' : 'job failed, and will be tried again')
    attempts.publish({ queue: job.name, outcome: isLast ? 'dead' : 'retry', durationMs })
    const output = { reason: wordsOf(causeOf(error, signal)) }
    if (!isLast && Number.isFinite(retryAfterMs)) {
      await attempt.postpone(output, Number(retryAfterMs)).catch(fault => {
        log.warn({ err: fault }, 'the next attempt could not be put off: it comes in its usual time')
      })
    }
    return { status: retry === false ? 'deadletter' : 'failed', output }
  }

  async function interrupted ({ job, attempt, log }: Taken, error: unknown, signal: AbortSignal, durationMs: number): Promise<Verdict> {
    const output = { reason: wordsOf(causeOf(error, signal)) }
    try {
      await attempt.handBack(output)
      log.info({ durationMs }, 'the service is shutting down: the job is handed back')
      attempts.publish({ queue: job.name, outcome: 'retry', durationMs })
    } catch (fault) {
      log.warn({ err: fault, durationMs }, 'the service is shutting down: the job could not be handed back, and counts as failed')
    }
    // What was handed back is found settled.
    return { status: 'failed', output }
  }

  return { run: settled, stop: supervisor.stop, names: supervisor.names, drained: supervisor.drained }
}

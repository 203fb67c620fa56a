import type { FastifyBaseLogger } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { Origin } from '../../server/trace.ts'
import type { Prisma } from '../../prisma/generated/client.ts'

/** How one job is put on its queue. */
export interface SendOptions {
  /** The caller's transaction: with its commit there is exactly one job, with its rollback none. */
  tx?: Prisma.TransactionClient
  /** When it may start: a date, or milliseconds from now by the database's clock. */
  startAfter?: Date | number
  /** Higher ones start first; 0 without it. */
  priority?: number
  /** What the queue's policy counts by; only for queues that have one. */
  singletonKey?: string
  /** A UUID; a job that has it already is not sent again. Of one job alone: some drivers know ids whatever the queue. */
  id?: string
}

export interface JobSender {
  /**
   * Puts a job on a queue.
   * @returns its id, or null when the queue's policy or an equal id leaves no room for it
   * @throws InvalidPayloadError, JobsUnavailableError, RangeError when an option is no time or no id
   */
  send: (name: string, payload: object, options?: SendOptions) => Promise<string | null>
}

/** A job as its handler sees it. */
export interface RunningJob<Payload> {
  /** The same in every attempt, also after a retry from the dead letter queue: what makes effects idempotent. */
  id: string
  payload: Payload
  /** From 1; also one that a shutdown interrupted is counted, though it uses up none of `retry.limit`. */
  attempt: number
  /** Fires at the time-out, at shutdown and when the job was taken away (cancelled, lost its heartbeat). */
  signal: AbortSignal
  /** Has queue, job id and attempt, and the request id and trace id of who sent the job. */
  log: FastifyBaseLogger
  /** Sends with the same request id and trace. */
  jobs: JobSender
}

/**
 * - `standard`: no limit
 * - `short`: one that waits
 * - `singleton`: one that runs
 * - `stately`: one that waits and one that runs
 * - `exclusive`: one that waits or runs
 *
 * in the whole deployment; of each `singletonKey`, where jobs have one.
 *
 * - `key_strict_fifo`: of each `singletonKey`, which every job has, one at a time in the order in which they
 *   were sent. One that is to be tried again holds back those behind it; one that is dead does not.
 */
export type QueuePolicy = 'standard' | 'short' | 'singleton' | 'stately' | 'exclusive' | 'key_strict_fifo'

/** What an error that a handler throws may say of the attempts to come. */
export interface AttemptError extends Error {
  /** `false`: none, the job goes to the dead letter queue. */
  retry?: false
  /** The next one is not to come earlier, though it may come later; a day at the most. */
  retryAfterMs?: number
}

export interface RetryPolicy {
  /** Attempts after the first; then the job goes to the dead letter queue. 5 without it. */
  limit?: number
  /** Before the first retry; it doubles, with jitter, from one to the next. 1 without it. */
  delaySeconds?: number
  /** The longest wait; 600 without it. */
  maxDelaySeconds?: number
}

export interface Schedule<Payload> {
  /** Five fields: minute, hour, day of the month, month, day of the week. */
  cron: string
  /** An IANA name, UTC without it. */
  timeZone?: string
  payload?: Payload
  /** What becomes of a time at which no worker was running: nothing, or one late run (`once`, the default). */
  missed?: 'skip' | 'once'
}

/** A background job: the queue of its name and what runs it. */
export interface JobDefinition<Schema extends TSchema = TSchema> {
  /** Of the queue; letters, digits, `-`, `_` and `.`. The dead letter queue is `<name>.dead`. */
  name: string
  payload: Schema
  handler: (job: RunningJob<Static<Schema>>) => Promise<void>
  retry?: RetryPolicy
  /** Jobs of this queue at a time in each process, at the most; 4 without it. */
  concurrency?: number
  /** Jobs that are fetched and settled together: more is faster, and a batch is as slow as its slowest. 1 without it. */
  batch?: number
  /** How long one attempt may take; 60 without it. */
  timeoutSeconds?: number
  /** Can't be changed later: give the job another name. */
  policy?: QueuePolicy
  schedule?: Schedule<Static<Schema>>
}

/** A definition with its defaults filled in. */
export interface Job {
  name: string
  deadLetter: string
  retry: Required<RetryPolicy>
  concurrency: number
  batch: number
  timeoutSeconds: number
  policy: QueuePolicy
  schedule: Schedule<unknown> | undefined
  handler: (job: RunningJob<never>) => Promise<void>
  /** What is wrong with a payload, in words. */
  check: (payload: unknown) => string | undefined
}

/** How many jobs of a queue may start now, may start later, run, and are dead. */
export interface QueueCounts { name: string, ready: number, deferred: number, active: number, dead: number }

/** What waits and runs on a queue; a dead letter queue is a queue of its own. */
export interface Backlog { name: string, ready: number, deferred: number, active: number }

/** `fastify.jobs`. */
export interface Jobs extends JobSender {
  /** Declares a job; in a module of `jobs/`, before the service is ready. */
  define: <Schema extends TSchema>(definition: JobDefinition<Schema>) => void
  /**
   * A sender whose jobs say in their log lines which request and trace they come from: those of a
   * request, or of what a request left behind, such as an event. Asked for
   * before a transaction begins, it has connected by then: nothing waits with locks held.
   * @throws JobsUnavailableError
   */
  for: (source: { readonly origin: Origin }) => Promise<JobSender>
  /** Of the jobs that are declared. */
  names: () => string[]
  /** The queues, and how many jobs are on each. */
  queues: () => Promise<QueueCounts[]>
  /** The same from a count of some seconds ago: for who asks often. */
  backlog: () => Promise<Backlog[]>
  /** Resolves when this process runs no job any more; at shutdown no more come. */
  drained: () => Promise<void>
}

/** The payload does not fit the schema of its job: the sender's fault, nothing was sent. */
export class InvalidPayloadError extends Error {
  override name = 'InvalidPayloadError'
}

/** Jobs can't be sent now; the errors plugin makes it 503. */
export class JobsUnavailableError extends Error {
  override name = 'JobsUnavailableError'
  readonly statusCode = 503
}

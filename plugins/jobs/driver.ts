// What jobs run on. Declarations, payload checks, time-outs, signals, logs, traces and metrics are not a driver's: it
// keeps jobs, hands attempts out and does what their verdicts say.
import type { FastifyBaseLogger } from 'fastify'
import type { Prisma, PrismaClient } from '../../prisma/generated/client.ts'
import type { Config } from '../config/index.ts'
import type { JobAdmin } from './admin.ts'
import type { Envelope } from './envelope.ts'
import type { Backlog, Job, QueueCounts, SendOptions } from './types.ts'

/** Why an attempt failed; kept with the job. */
export interface Failure { reason: string }

/** An attempt at a job that a driver has fetched. */
export interface Attempt {
  /** Of what is stored; `id` too where the envelope has none, as with jobs that a schedule sent. */
  rowId: string
  id: string
  /** What is stored: an envelope, if all is well. */
  data: unknown
  /** From 1. */
  number: number
  /** Whether none follows when this one fails. */
  isLast: boolean
  /** Fires when the job was taken away: cancelled, or its worker was taken for dead. */
  signal: AbortSignal
  /** The next attempt is not to come earlier than so many milliseconds after this one, which fails. */
  postpone: (failure: Failure, delayMs: number) => Promise<void>
  /** Gives the job back: it may start at once, elsewhere, and this attempt does not count as a failed one. */
  handBack: (failure: Failure) => Promise<void>
}

/** How an attempt ended. After `failed` there may be others, after `deadletter` there are none. What is settled already stays as it is. */
export type Verdict = { status: 'completed' } | { status: 'failed' | 'deadletter', output: Failure }

/** What a backend gets of the service. */
export interface BackendOptions {
  config: Config
  databaseUrl: string
  prisma: PrismaClient
  /** A query on a connection of its own, for checks of health. */
  probe: Query
  log: FastifyBaseLogger
  /** Whether this process runs jobs, and does not only send them. */
  works: boolean
  /** Those that are declared, by name; complete by the time that anything is asked of the backend. */
  jobs: ReadonlyMap<string, Job>
  /** Runs an attempt. Never rejects. */
  run: (job: Job, attempt: Attempt) => Promise<Verdict>
}

/** The jobs of one service. */
export interface JobBackend {
  /** Resolves once jobs can be sent; the first call connects. @throws JobsUnavailableError */
  connected: () => Promise<void>
  /** Connects and fetches jobs, and tries again until it does or is closed. */
  keep: () => Promise<void>
  /**
   * Stores a job, by statements of `db` alone: it is there when the caller's transaction commits. The options have an id if the sender chose it.
   * @returns its id, or null when there is no room for it
   */
  send: (job: Job, envelope: Envelope & { id: string }, options: Omit<SendOptions, 'tx'>, db: Prisma.TransactionClient) => Promise<string | null>
  queues: () => Promise<QueueCounts[]>
  backlog: () => Promise<Backlog[]>
  /** What is wrong, in words for an operator. */
  problem: () => Promise<string | undefined>
  /** Fetches no more. What was fetched is settled all the same. */
  stop: () => void
  /** Once nothing runs any more. */
  close: () => Promise<void>
}

export type Query = (sql: string) => Promise<Record<string, unknown>[]>

/** The tables of a driver beside those of the migrations. The service never changes them; `npm run db:migrate` and the set-up in development do. */
export interface JobStorage {
  /** Changes when they do. */
  version: () => string
  /** How they differ from what this release needs. */
  state: (query: Query, url: string) => Promise<'current' | 'missing' | 'old' | 'newer'>
  /** Makes or migrates them; several processes may do so at once. @returns whether there was anything to do */
  apply: (url: string) => Promise<boolean>
  /** Takes all jobs away. Queues and schedules stay, for a service that may be running. */
  clear: (options: AdminOptions) => Promise<void>
}

/** Where a command finds the jobs. */
export interface AdminOptions {
  databaseUrl: string
  /** Another setting, from the environment. */
  setting: (name: string) => string | undefined
}

export interface JobDriver {
  /** As traces name it. */
  name: string
  /** Refuses what it can't keep of the declarations, or do without. @throws Error that names the job, or the setting */
  check: (jobs: Iterable<Job>, config: Config) => Promise<void>
  /** Makes a backend. It connects when it is first asked for something. */
  open: (options: BackendOptions) => JobBackend
  storage: JobStorage
  /** Runs `use` on the jobs, beside a running service or without one. @throws Error with words for the operator */
  admin: <T>(options: AdminOptions, use: (admin: JobAdmin) => Promise<T>) => Promise<T>
}

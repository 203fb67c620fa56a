import { backoffStrategies, type Job as AgendaJob } from 'agenda'
import { within } from '../../../server/within.ts'
import { listen, type Listener } from '../../events/listener.ts'
import type { Attempt, BackendOptions } from '../driver.ts'
import type { Job } from '../types.ts'
import { createAgenda } from './agenda.ts'
import type { Held } from './held.ts'
import { createRounds, type Rounds } from './rounds.ts'
import { syncAgendaSchedules, tick } from './schedules.ts'
import { CHANNEL, CLOSE_MS, scheduleOf } from './settings.ts'

export interface Workers {
  /** Begins to fetch jobs. @throws Error when the database is away, or has no such tables */
  start: () => Promise<void>
  /** Looks for jobs of a queue now. */
  ring: (queue: string) => void
  /** What goes wrong at the moment. */
  problem: () => string | undefined
  /** Fetches no more. */
  stop: () => void
  /** Once nothing runs any more. */
  close: () => Promise<void>
}

const MAX_POSTPONE_MS = 86_400_000
/** From one look of agenda at a running job to the next: it finds nothing, as the repository has it, and keeps a process up for as long. */
const LOCK_LIFETIME_MS = 1_000

/** An attempt has failed; the next one comes after a while, or never. */
class Failed extends Error {
  readonly delayMs: number | null

  constructor (reason: string, delayMs: number | null) {
    super(reason)
    this.delayMs = delayMs
  }
}

/** Has agenda fetch jobs, and settle them by what running them gives. */
export function createWorkers ({ databaseUrl, prisma, log, jobs, run }: Pick<BackendOptions, 'databaseUrl' | 'prisma' | 'log' | 'jobs' | 'run'>): Workers {
  const { agenda, pool, repository, bell } = createAgenda(databaseUrl)
  const queues = [...jobs.keys()]
  let listener: Listener | undefined
  let rounds: Rounds | undefined
  let told: string | undefined
  agenda.on('error', error => {
    // It comes again with each look.
    const { trouble } = repository
    log[trouble === undefined || trouble === told ? 'debug' : 'warn']({ err: error }, 'agenda had trouble')
    told = trouble
  })

  for (const job of jobs.values()) {
    agenda.define(job.name, async (fetched: AgendaJob) => await attempt(job, fetched), {
      concurrency: job.concurrency,
      // What is fetched begins at once.
      lockLimit: job.concurrency,
      lockLifetime: LOCK_LIFETIME_MS,
      backoff: ({ error }) => error instanceof Failed ? error.delayMs : null
    })
    if (job.schedule === undefined) continue
    agenda.define(scheduleOf(job.name), async (fetched: AgendaJob) => await time(job, fetched), { concurrency: 1, lockLimit: 1, lockLifetime: LOCK_LIFETIME_MS })
  }

  async function time (job: Job, { attrs }: AgendaJob): Promise<void> {
    const held = repository.held.get(attrs)
    if (held === undefined) return
    try {
      await tick(prisma, job, held)
    } catch (error) {
      log.warn({ err: error, queue: job.name }, 'the job of a schedule could not be sent, and will be')
      // Its time comes again when the lock is old.
      repository.held.drop(held)
    }
  }

  async function attempt (job: Job, { attrs }: AgendaJob): Promise<void> {
    const held = repository.held.get(attrs)
    if (held === undefined) return
    const { id, attempts, failures, retries, control } = held
    let leastMs = 0
    const one: Attempt = {
      rowId: id,
      id,
      data: attrs.data,
      number: attempts,
      isLast: failures >= retries,
      signal: control.signal,
      postpone: async (_failure, ms) => { leastMs = Math.min(ms, MAX_POSTPONE_MS) },
      handBack: async ({ reason }) => await repository.handBack(held, reason)
    }
    const verdict = await run(job, one)
    if (verdict.status === 'completed') return
    const isOver = verdict.status === 'deadletter' || one.isLast
    throw new Failed(verdict.output.reason, isOver ? null : Math.max(leastMs, waitOf(job, held, verdict.output.reason)))
  }

  return {
    start: async () => {
      await pool.query('INSERT INTO agenda_queues (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING', [queues])
      await syncAgendaSchedules(agenda, pool, jobs, log)
      await agenda.start()
      listener = listen({ url: databaseUrl, schema: new URL(databaseUrl).searchParams.get('schema') ?? undefined, channel: CHANNEL }, () => queues.forEach(name => bell.ring(name)), log)
      rounds = createRounds({ pool, held: repository.held, log, freed: name => bell.ring(name) })
    },
    ring: name => bell.ring(name),
    problem: () => rounds?.problem() ?? repository.trouble,
    stop: () => {
      repository.stop()
      void agenda.stop(false).catch(() => {})
    },
    close: async () => {
      repository.stop()
      await repository.finish()
      await agenda.stop(false)
      rounds?.stop()
      await listener?.close()
      // A connection that is dead does not end.
      await within(pool.end(), CLOSE_MS, () => {})
    }
  }
}

/** How long to wait before the next attempt: doubles, with jitter. */
function waitOf ({ name, retry: { delaySeconds, maxDelaySeconds } }: Job, { failures }: Held, reason: string): number {
  const wait = backoffStrategies.exponential({ delay: delaySeconds * 1000, maxDelay: maxDelaySeconds * 1000, maxRetries: Infinity, jitter: 0.25 })
  return Math.min(wait({ attempt: failures + 1, error: new Error(reason), jobName: name, jobData: undefined }) ?? 0, maxDelaySeconds * 1000)
}

import { randomUUID } from 'node:crypto'
import { PostgresJobRepository } from '@agendajs/postgres-backend'
import { toJobId, type JobParameters } from 'agenda'
import type pg from 'pg'
import { within } from '../../../server/within.ts'
import { unlessTaken } from '../admin.ts'
import { createHeld, type Held, type HeldJobs } from './held.ts'
import { CHANNEL, CLOSE_MS } from './settings.ts'

const TRIES = 5
/** Whether a lock is old is the database's to say: what agenda asks of the clock of this machine is answered no. */
const NEVER_OLD = new Date(8.64e15)
/** What was found is due, by the database's clock. */
const DUE = new Date(0)

interface Row { id: string, priority: number, type: JobParameters['type'], data: unknown, failCount: number | null, repeatInterval: string | null, repeatTimezone: string | null, attempts: number, retries: number }

/**
 * Agenda's PostgreSQL repository, with locks that have an owner: what a worker that was taken for dead still has to
 * say of a job counts for nothing. By the database's clock, higher priorities first, and by the policies of the queues.
 */
export class Repository extends PostgresJobRepository {
  readonly held: HeldJobs
  readonly #pool: pg.Pool
  /** Is told that there is room for another job of a name. */
  readonly #freed: (name: string) => void
  /** What went wrong when a job was last looked for, by its queue. */
  readonly #troubles = new Map<string, string>()
  #isClosed = false

  constructor (pool: pg.Pool, freed: (name: string) => void) {
    super({ pool, ensureSchema: false })
    this.#pool = pool
    this.#freed = freed
    this.held = createHeld(pool)
  }

  /** Why jobs of a queue can't be fetched now. */
  get trouble (): string | undefined {
    const [found] = this.#troubles
    return found && `${found[0]}: ${found[1]}`
  }

  /** The pool connects when it has to; what went wrong here, agenda would leave to nobody. */
  override async connect (): Promise<void> {}

  override async getNextJobToRun (name: string): Promise<JobParameters | undefined> {
    if (this.#isClosed) return undefined
    const lock = randomUUID()
    let row: Row | undefined
    try {
      row = await this.#lockNext(name, lock)
      this.#troubles.delete(name)
    } catch (error) {
      this.#troubles.set(name, (error as Error).message)
      throw error
    }
    if (row === undefined) return undefined
    const { id, failCount, repeatInterval, repeatTimezone, attempts, retries, ...rest } = row
    const job = this.held.add({ id, name, lock, attempts, retries, failures: failCount ?? 0 })
    if (this.#isClosed) {
      await this.#release(job)
      return undefined
    }
    return {
      ...rest,
      _id: toJobId(id),
      name,
      nextRunAt: DUE,
      lockedAt: NEVER_OLD,
      lastModifiedBy: lock,
      failCount: failCount ?? 0,
      ...repeatInterval === null ? {} : { repeatInterval, repeatTimezone: repeatTimezone ?? 'UTC' }
    }
  }

  async #lockNext (name: string, lock: string): Promise<Row | undefined> {
    const take = async () => {
      const { rows } = await this.#pool.query<Row>(`
        UPDATE agenda_jobs SET locked_at = now(), last_run_at = now(), last_modified_by = $2, attempts = least(attempts, 2147483646) + 1 WHERE id = (
          SELECT id FROM agenda_jobs one WHERE name = $1 AND next_run_at <= now() AND locked_at IS NULL AND NOT disabled AND
            (policy NOT IN ('singleton', 'stately', 'key_strict_fifo') OR NOT EXISTS (
              SELECT 1 FROM agenda_jobs other WHERE other.policy IN ('singleton', 'stately', 'key_strict_fifo') AND other.name = one.name AND other.key = one.key AND
                other.next_run_at IS NOT NULL AND NOT other.disabled AND
                (other.locked_at IS NOT NULL OR one.policy = 'key_strict_fifo' AND other.position < one.position)))
          ORDER BY priority DESC, next_run_at, position LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id, priority, type, data, fail_count AS "failCount", repeat_interval AS "repeatInterval", repeat_timezone AS "repeatTimezone", attempts, retries`, [name, lock])
      return rows[0]
    }
    // Of two that would take jobs of a key at once, one is quicker, and the other looks again.
    for (let tries = 1; tries <= TRIES; tries++) {
      let row: Row | undefined
      if (await unlessTaken(async () => { row = await take() })) return row
    }
    return undefined
  }

  /** Agenda calls this when a job begins, and with no lock when it has ended. */
  override async saveJobState (job: JobParameters): Promise<void> {
    const held = this.held.get(job)
    if (job.lockedAt !== undefined) {
      if (held === undefined) throw new Error('the job was taken away before it began')
      held.hasBegun = true
      return
    }
    // Agenda has taken it off its lists by then. (A time that is not over by the clock of this machine would come at once.)
    if (job.repeatInterval === undefined) setImmediate(this.#freed, job.name)
    if (held === undefined) throw new Error('the job was taken away')
    // Until then it is waited for; where this fails, its lock gets old.
    try {
      await this.#settle(held, job)
    } finally {
      this.held.drop(held)
    }
  }

  async #settle ({ id, lock }: Held, { nextRunAt, repeatInterval, failReason, failCount, failedAt, lastFinishedAt }: JobParameters): Promise<void> {
    // A time of a schedule is one of the calendar, a wait one of the database's clock.
    const [at, waitMs] = repeatInterval === undefined ? [null, nextRunAt === null ? null : nextRunAt.getTime() - Date.now()] : [nextRunAt, null]
    const { rowCount } = await this.#pool.query(`
      UPDATE agenda_jobs SET locked_at = NULL, last_modified_by = NULL, next_run_at = COALESCE($3::timestamptz, now() + $4::float8 * interval '1 millisecond'),
        fail_reason = $5, fail_count = $6, failed_at = $7, last_finished_at = $8, updated_at = now()
      WHERE id = $1 AND last_modified_by = $2`, [id, lock, at, waitMs, failReason, failCount, failedAt, lastFinishedAt])
    if (rowCount !== 1) throw new Error('the job was taken away')
  }

  /** Gives a job back that has begun: it may start at once, and no failure counts. */
  async handBack (held: Held, reason: string): Promise<void> {
    await this.#pool.query(`
      WITH back AS (UPDATE agenda_jobs SET locked_at = NULL, last_modified_by = NULL, next_run_at = now(), fail_reason = $3 WHERE id = $1 AND last_modified_by = $2)
      SELECT pg_notify('${CHANNEL}', current_schema())`, [held.id, held.lock, reason])
    this.held.drop(held)
  }

  override async unlockJob (job: JobParameters): Promise<void> {
    const held = this.held.get(job)
    if (held !== undefined) await this.#release(held)
  }

  override async unlockJobs (ids: string[]): Promise<void> {
    for (const held of this.held.all()) if (ids.includes(held.id) && !held.hasBegun) await this.#release(held)
  }

  /** Gives a job back that has not begun. Never rejects: agenda does not wait for it. */
  async #release (held: Held): Promise<void> {
    this.held.drop(held)
    await this.#pool.query('UPDATE agenda_jobs SET locked_at = NULL, last_modified_by = NULL, attempts = attempts - 1 WHERE id = $1 AND last_modified_by = $2', [held.id, held.lock]).catch(() => {})
  }

  /** Finds no more jobs. */
  stop (): void {
    this.#isClosed = true
  }

  /** Waits for what has ended to be settled, and gives back what has not begun. */
  async finish (): Promise<void> {
    await within(Promise.all(this.held.all().filter(({ hasBegun }) => hasBegun).map(async ({ ended }) => await ended.promise)), CLOSE_MS, () => {})
    await within(this.unlockJobs(this.held.all().map(({ id }) => id)), CLOSE_MS, () => {})
  }
}

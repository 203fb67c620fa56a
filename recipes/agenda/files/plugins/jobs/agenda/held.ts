import type { JobParameters } from 'agenda'
import type pg from 'pg'

/** A job that this process has locked. */
export interface Held {
  id: string
  name: string
  /** Whose the lock is, this time. */
  lock: string
  /** That were begun, this one among them. */
  attempts: number
  /** That may fail, and others come. */
  retries: number
  failures: number
  /** Fires when the job was taken away. */
  control: AbortController
  hasBegun: boolean
  /** Resolves when it is held no more. */
  ended: PromiseWithResolvers<void>
}

/** The jobs that this process has locked. */
export interface HeldJobs {
  add: (job: Pick<Held, 'id' | 'name' | 'lock' | 'attempts' | 'retries' | 'failures'>) => Held
  get: (job: Pick<JobParameters, 'lastModifiedBy'>) => Held | undefined
  all: () => Held[]
  /** One that was not settled before has a lock that gets old. */
  drop: (job: Held) => void
  /** Says that this process is alive; what it has no more has its signal fired. */
  beat: () => Promise<void>
}

/** Keeps account of what is locked. */
export function createHeld (pool: pg.Pool): HeldJobs {
  const held = new Map<string, Held>()

  function drop (job: Held): void {
    held.delete(job.lock)
    job.ended.resolve()
  }

  return {
    add: job => {
      const added = { ...job, control: new AbortController(), hasBegun: false, ended: Promise.withResolvers<void>() }
      held.set(job.lock, added)
      return added
    },
    get: ({ lastModifiedBy = '' }) => held.get(lastModifiedBy),
    all: () => [...held.values()],
    drop,
    beat: async () => {
      const mine = [...held.values()]
      if (mine.length === 0) return
      const { rows } = await pool.query<{ lock: string }>(`
        UPDATE agenda_jobs SET locked_at = now() FROM unnest($1::uuid[], $2::text[]) AS mine (id, lock)
        WHERE agenda_jobs.id = mine.id AND last_modified_by = mine.lock RETURNING lock`, [mine.map(({ id }) => id), mine.map(({ lock }) => lock)])
      const still = new Set(rows.map(({ lock }) => lock))
      for (const job of mine) {
        if (still.has(job.lock)) continue
        drop(job)
        job.control.abort()
      }
    }
  }
}

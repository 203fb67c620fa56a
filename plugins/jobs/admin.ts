// What an operator does with jobs.

/** A job as an operator sees it: one in a dead letter queue is `dead`, on the queue it comes from. */
export interface ListedJob {
  /** That its sender got and its log lines have: it stays the same through the dead letter queue. */
  id: string
  /** Of what is stored. */
  rowId: string
  queue: string
  state: string
  /** Attempts that were begun. */
  attempts: number
  createdAt: Date
  /** When it may start, if it waits. */
  startAfter: Date | null
  /** Why its last attempt failed. */
  reason: string | null
  payload: unknown
  requestId: string | null
  traceparent: string | null
}

/** What asks for an operator first, then what runs, then what waits. */
export const STATES = ['dead', 'failed', 'active', 'retry', 'created', 'cancelled', 'completed'] as const

/** Without a state: what is neither completed nor failed, or with `all` whatever there is. A failed job has a dead one that can be retried. */
export interface ListQuery { queue?: string, state?: string, all?: boolean, limit: number }

/** The jobs that a query shows, and how many there are. */
export interface JobList { jobs: ListedJob[], total: number }

/** What became of one job of a command; `problem` is why nothing did. */
export interface Outcome { id: string, done?: string, problem?: string }

/** Each throws an Error with words for the operator. */
export interface JobAdmin {
  list: (query: ListQuery) => Promise<JobList>
  /** Has dead and cancelled jobs run again, and those that wait for their next attempt at once. */
  retry: (ids: string[]) => Promise<Outcome[]>
  /** Takes jobs that have not ended off their queues; the signal of one that runs fires. */
  cancel: (ids: string[]) => Promise<Outcome[]>
  /** The ids of the dead jobs of a queue. */
  dead: (queue: string) => Promise<string[]>
  /** Takes a queue away with its schedule and its jobs. @returns how many jobs there were */
  drop: (queue: string) => Promise<number>
}

/** Why nothing became of a job. */
export interface Problem { problem: string }

/** Of a job that the policy of its queue keeps out. */
export const NO_ROOM: Problem = { problem: 'there is no room for it on its queue' }

/** Writes what is to be the only one of its kind. @returns false when another is there already, as PostgreSQL says it (unique_violation) */
export async function unlessTaken (write: () => Promise<unknown>): Promise<boolean> {
  try {
    await write()
    return true
  } catch (error) {
    if ((error as { code?: string }).code === '23505') return false
    throw error
  }
}

/** Does something with each of some jobs, once. */
export async function each<Row> (ids: string[], find: (id: string) => Promise<Row | undefined>, act: (row: Row) => Promise<string | Problem>): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const id of new Set(ids.map(id => id.toLowerCase()))) {
    const row = await find(id)
    const done = row === undefined ? { problem: 'there is no such job' } : await act(row)
    outcomes.push(typeof done === 'string' ? { id, done } : { id, ...done })
  }
  return outcomes
}

/** @throws Error when it is none of the queues */
export function knownQueue (queue: string, names: string[]): void {
  if (!names.includes(queue)) throw new Error(`There is no queue "${queue}"; there are: ${names.join(', ') || 'none'}.`)
}

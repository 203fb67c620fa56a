import type { Database } from './database.ts'

/** Puts background jobs on their queues. */
export interface JobSender {
  /**
   * @param options.tx the job exists when this transaction commits
   * @param options.startAfter milliseconds from now, or a date
   * @returns the job's id, or null when there is no room for it
   */
  send: (name: string, payload: object, options?: { tx?: Database, startAfter?: Date | number }) => Promise<string | null>
}

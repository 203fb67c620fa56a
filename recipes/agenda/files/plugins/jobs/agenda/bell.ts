import { BaseNotificationChannel, toJobId } from 'agenda'
import { coalesced } from './coalesced.ts'

/**
 * How agenda is told that there may be jobs on a queue. Its own channel would end the process at a connection that is
 * lost, and between its notifications it would look for jobs when the next poll comes, though one has just ended.
 */
export class Bell extends BaseNotificationChannel {
  readonly #rings = new Map<string, () => void>()

  async connect (): Promise<void> {
    this.setState('connected')
  }

  async disconnect (): Promise<void> {
    this.handlers.clear()
    this.setState('disconnected')
  }

  /** Who sends a job notifies, in the transaction. */
  async publish (): Promise<void> {}

  /** Has agenda look for jobs of a queue now. */
  ring (name: string): void {
    let ring = this.#rings.get(name)
    if (ring === undefined) {
      ring = coalesced(async () => await this.notifyHandlers({ jobId: toJobId(''), jobName: name, nextRunAt: null, priority: 0, timestamp: new Date() }))
      this.#rings.set(name, ring)
    }
    ring()
  }
}

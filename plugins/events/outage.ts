import { isDatabaseAway } from '../errors/database-errors.ts'
import type { StoredEvent } from './log.ts'

/**
 * Whether an error is of the surroundings and not of the event: the database is away, or whoever threw it says
 * by `statusCode` 503 that it can't be done now. Anything else, such as a file that is not there, counts as a failure.
 */
export function isOutage (error: unknown): boolean {
  try {
    return (error as { statusCode?: unknown } | null | undefined)?.statusCode === 503 || isDatabaseAway(error)
  } catch {
    // Anything at all can be thrown, also what can't be asked.
    return false
  }
}

/** Notices an event that holds its consumer up for long. */
export class StuckEvent {
  readonly #periodMs: number
  #position: bigint | undefined
  #since = 0

  constructor (periodMs: number) {
    this.#periodMs = periodMs
  }

  /** It could not be handled. @returns whether it is time to say so: once in each period */
  holds ({ position }: StoredEvent): boolean {
    const now = performance.now()
    if (position !== this.#position) {
      this.#position = position
      this.#since = now
    }
    if (now - this.#since < this.#periodMs) return false
    this.#since = now
    return true
  }

  /** Something was handled. */
  clear (): void {
    this.#position = undefined
  }
}

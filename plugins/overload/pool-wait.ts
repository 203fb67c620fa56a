/** What this needs of a pg.Pool: who waits, and its `release` events. */
export interface Pool {
  readonly waitingCount: number
  on: (event: 'release', listener: () => void) => unknown
  off: (event: 'release', listener: () => void) => unknown
}

const SAMPLE_MS = 100
/** How much of the rate so far a sample leaves. */
const MEMORY = 0.7

/**
 * How long whoever asks a pool for a connection now would wait: those before it, by the rate at
 * which connections come back (Little's law). A burst that drains quickly is no overload, however
 * many it is; a line that hardly moves is one, however short.
 */
export class PoolWait {
  readonly #pool: Pool
  readonly #timer: NodeJS.Timeout
  readonly #count = () => { this.#released++ }
  #released = 0
  #perMs = 0
  /** Samples in a row that saw somebody wait. */
  #busy = 0

  constructor (pool: Pool) {
    this.#pool = pool
    pool.on('release', this.#count)
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS).unref()
  }

  /**
   * Milliseconds; 0 while nobody waits.
   * @param patience so many may wait before there is anything to go by
   */
  expectedMs (patience: number): number {
    const { waitingCount } = this.#pool
    if (waitingCount === 0) return 0
    // A rate of a time when less was asked for is none that the pool can't exceed: a burst may wait until there is one.
    if (this.#busy < 2) return waitingCount > patience ? Infinity : 0
    // A line that has not moved yet.
    if (this.#perMs === 0) return waitingCount > patience ? Infinity : this.#busy * SAMPLE_MS
    return waitingCount / this.#perMs
  }

  close (): void {
    clearInterval(this.#timer)
    this.#pool.off('release', this.#count)
  }

  #sample (): void {
    const perMs = this.#released / SAMPLE_MS
    this.#released = 0
    this.#busy = this.#pool.waitingCount > 0 ? this.#busy + 1 : 0
    this.#perMs = this.#busy < 2 ? perMs : this.#perMs * MEMORY + perMs * (1 - MEMORY)
  }
}

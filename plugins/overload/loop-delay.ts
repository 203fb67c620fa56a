const SAMPLE_MS = 100
/** What a sample leaves of those before it: one long task is no overload. */
const MEMORY = 0.8

/** By how much timers are late: how long whatever comes waits until the event loop gets to it. In milliseconds. */
export class LoopDelay {
  readonly #timer: NodeJS.Timeout
  #last = performance.now()
  #ms = 0

  constructor () {
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS).unref()
  }

  get ms (): number {
    return this.#ms
  }

  close (): void {
    clearInterval(this.#timer)
  }

  #sample (): void {
    const now = performance.now()
    this.#ms = this.#ms * MEMORY + Math.max(0, now - this.#last - SAMPLE_MS) * (1 - MEMORY)
    this.#last = now
  }
}

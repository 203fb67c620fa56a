import { AsyncLocalStorage } from 'node:async_hooks'
import { TaskCancelledError, timeout, TimeoutStrategy } from 'cockatiel'
import pLimit from 'p-limit'

/** For each load that may be under way, so many may wait. */
const WAITING = 20

/** The loads of this process: so many at a time, and none for ever. */
export class Loads {
  readonly #places
  readonly #limit
  readonly #ms: number
  /** The keys that are being loaded around this call. */
  readonly #around = new AsyncLocalStorage<ReadonlySet<string>>()

  /** @param ms that each may take */
  constructor (max: number, ms: number) {
    this.#places = pLimit(max)
    this.#limit = timeout(ms, TimeoutStrategy.Aggressive)
    this.#ms = ms
  }

  /** @throws Error when the load of a key asks for that key: it would wait for itself */
  check (key: string): void {
    if (this.#around.getStore()?.has(key)) throw new Error(`What loads ${key} into the cache asks the cache for it.`)
  }

  /** @throws what the load throws, or an error with status 503 */
  async run<T> (key: string, load: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const around = this.#around.getStore()
    const work = async () => await this.#around.run(new Set([...around ?? [], key]), async () => await this.#limit.execute(async ({ signal }) => await load(signal)))
    try {
      // What a load loads in turn has its place already: were it to wait for another, all might wait for each other.
      if (around !== undefined) return await work()
      if (this.#places.pendingCount >= this.#places.concurrency * WAITING) throw unavailable('Too much is being loaded at once.')
      return await this.#places(work)
    } catch (error) {
      if (error instanceof TaskCancelledError) throw unavailable(`What was to be loaded was not there within ${this.#ms} ms.`)
      throw error
    }
  }
}

function unavailable (message: string): Error {
  return Object.assign(new Error(message), { statusCode: 503 })
}

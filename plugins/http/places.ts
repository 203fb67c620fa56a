/**
 * The bulkhead of an origin: calls that may be under way at a time, and calls that may wait for that, first come
 * first served. (cockatiel's keeps those that have given up in its queue, and lets others pass by it.)
 */
export class Places {
  readonly #size: number
  readonly #room: number
  readonly #waiting = new Set<() => void>()
  #taken = 0

  constructor (size: number, room: number) {
    this.#size = size
    this.#room = room
  }

  get isIdle (): boolean { return this.#taken === 0 }

  get isFull (): boolean { return this.#taken >= this.#size && this.#waiting.size >= this.#room }

  /** Waits for a place. Who has one has to leave it. Rejects with the signal's reason. */
  async take (signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#taken < this.#size) {
      this.#taken++
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = () => {
      this.#waiting.delete(resolve)
      reject(signal.reason)
    }
    this.#waiting.add(resolve)
    signal.addEventListener('abort', onAbort, { once: true })
    await promise.finally(() => signal.removeEventListener('abort', onAbort))
  }

  /** Hands the place to who has waited longest. */
  leave (): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#taken--
      return
    }
    this.#waiting.delete(next)
    next()
  }
}

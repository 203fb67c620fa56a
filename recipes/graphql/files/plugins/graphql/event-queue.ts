import type { Following, ResetReason, Sink, StoredEvent } from '../events/index.ts'

/** What a subscriber gets: an event, or that some may have been missed. */
export type Followed = { event: StoredEvent } | { reset: { id: string, reason: ResetReason } }

/** From so many that wait on, a reader that catches up is given no more. */
const HIGH_WATER = 50
/** More than this do not wait for anybody. */
const MOST = 200

/**
 * Events as an async iterator. Not a generator: `return` of that would wait for the next event,
 * which may never come, and the subscription would stay.
 */
export class EventQueue implements AsyncIterableIterator<Followed>, Sink {
  readonly #tooSlow: () => void
  #queue: Followed[] = []
  #waiting: PromiseWithResolvers<IteratorResult<Followed>> | undefined
  #draining: PromiseWithResolvers<void> | undefined
  #following: Following | undefined
  #error: unknown
  #hasEnded = false

  constructor (tooSlow: () => void) {
    this.#tooSlow = tooSlow
  }

  /** The events come from there: it is closed when nobody reads any more. */
  begin (following: Following): void {
    this.#following = following
    if (this.#hasEnded) following.close()
  }

  event (event: StoredEvent): boolean {
    this.#push({ event })
    return this.#queue.length < HIGH_WATER
  }

  reset (position: bigint, reason: ResetReason): void {
    this.#push({ reset: { id: String(position), reason } })
  }

  drained (): Promise<void> | undefined {
    if (this.#hasEnded || this.#queue.length < HIGH_WATER) return undefined
    this.#draining ??= Promise.withResolvers()
    return this.#draining.promise
  }

  failed (error: unknown): void {
    this.#error = error
    this.#end()
  }

  async next (): Promise<IteratorResult<Followed>> {
    const value = this.#queue.shift()
    if (value !== undefined) {
      if (this.#queue.length < HIGH_WATER / 2) this.#drain()
      return { done: false, value }
    }
    if (this.#error !== undefined) throw this.#error
    if (this.#hasEnded) return { done: true, value: undefined }
    this.#waiting = Promise.withResolvers()
    return await this.#waiting.promise
  }

  async return (): Promise<IteratorResult<Followed>> {
    this.#queue = []
    this.#end()
    return { done: true, value: undefined }
  }

  async throw (error: unknown): Promise<IteratorResult<Followed>> {
    await this.return()
    throw error
  }

  [Symbol.asyncIterator] (): this {
    return this
  }

  #push (value: Followed): void {
    if (this.#hasEnded) return
    if (this.#waiting !== undefined) {
      this.#waiting.resolve({ done: false, value })
      this.#waiting = undefined
      return
    }
    this.#queue.push(value)
    if (this.#queue.length <= MOST) return
    this.#queue = []
    this.#end()
    this.#tooSlow()
  }

  #drain (): void {
    this.#draining?.resolve()
    this.#draining = undefined
  }

  #end (): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#following?.close()
    this.#drain()
    if (this.#error === undefined) this.#waiting?.resolve({ done: true, value: undefined })
    else this.#waiting?.reject(this.#error)
    this.#waiting = undefined
  }
}

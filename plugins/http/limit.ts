import { HttpCallError } from './errors.ts'
import type { HttpCall } from './types.ts'

/** More is no time for a timer. */
const MAX_MS = 2 ** 31 - 1

/** Until when a call may go on: its time-out, its deadline, its caller's signal. */
export class Limit {
  readonly #at: number
  readonly #control = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #forget: (() => void)[] = []

  /** @param name of the call, for the error */
  constructor (name: string, { deadline, signal }: Pick<HttpCall, 'deadline' | 'signal'>, timeoutMs: number) {
    const given = deadline?.remainingMs() ?? Infinity
    const ms = Math.min(timeoutMs, given, MAX_MS)
    // A deadline may be the client's wish: what misses it speaks against nobody.
    const late = () => new HttpCallError('UPSTREAM_TIMEOUT', `${name}: no answer within ${Math.round(ms)} ms`, { isFault: timeoutMs <= given })
    this.#at = performance.now() + ms
    this.#timer = setTimeout(() => this.#control.abort(late()), ms)
    this.#follow(signal, () => signal?.reason)
    this.#follow(deadline?.signal, () => (deadline?.remainingMs() ?? 0) < 1 ? late() : deadline?.signal.reason)
    if (ms <= 0) this.#control.abort(late())
  }

  /** Fires with what the call is to reject with. */
  get signal (): AbortSignal { return this.#control.signal }

  remainingMs (): number { return Math.max(0, this.#at - performance.now()) }

  /** Lets go of what it listens to. */
  end (): void {
    clearTimeout(this.#timer)
    for (const forget of this.#forget) forget()
  }

  #follow (signal: AbortSignal | undefined, reason: () => unknown): void {
    if (signal === undefined) return
    const onAbort = () => this.#control.abort(reason())
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    this.#forget.push(() => signal.removeEventListener('abort', onAbort))
  }
}

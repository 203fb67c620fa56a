import { HttpCallError } from './errors.ts'
import type { CallDeadline, HttpCall } from './types.ts'

/** More is no time for a timer. */
const MAX_MS = 2 ** 31 - 1

/** Until when a call may go on: its time-out, its deadline, its caller's signal. */
export class Limit {
  readonly #at: number
  readonly #deadline: CallDeadline | undefined
  readonly #control = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #forget: (() => void)[] = []

  /** @param name of the call, for the error */
  constructor (name: string, { deadline, signal }: Pick<HttpCall, 'deadline' | 'signal'>, timeoutMs: number) {
    const ms = Math.min(timeoutMs, MAX_MS)
    const isOver = () => deadline !== undefined && deadline.remainingMs() < 1
    this.#at = performance.now() + ms
    this.#deadline = deadline
    const timedOut = () => this.#control.abort(new HttpCallError('UPSTREAM_TIMEOUT', `${name}: no answer within ${ms} ms`, { isFault: true }))
    // A deadline may be the client's wish: what misses it speaks against nobody.
    const tooLate = () => new HttpCallError('UPSTREAM_TIMEOUT', `${name}: no answer before the deadline`)
    this.#timer = setTimeout(timedOut, ms)
    this.#follow(signal, () => signal?.reason)
    // No timer of ours for it: who set it is to be the first to know.
    this.#follow(deadline?.signal, () => isOver() ? tooLate() : deadline?.signal.reason)
    if (isOver()) this.#control.abort(tooLate())
    else if (ms <= 0) timedOut()
  }

  /** Fires with what the call is to reject with. */
  get signal (): AbortSignal { return this.#control.signal }

  remainingMs (): number {
    return Math.max(0, Math.min(this.#at - performance.now(), this.#deadline?.remainingMs() ?? Infinity))
  }

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

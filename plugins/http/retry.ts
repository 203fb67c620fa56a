import { setTimeout as sleep } from 'node:timers/promises'
import { HttpCallError } from './errors.ts'
import type { Limit } from './limit.ts'

const ATTEMPTS = 3
const BASE_MS = 100
const MAX_WAIT_MS = 2_000
const MAX_RETRY_AFTER_MS = 86_400_000
const PASSING = new Set([502, 503, 504])

/** Retries of an origin: a fifth of its calls, and a few more. When it is down, they don't multiply what it gets. */
export class RetryBudget {
  static readonly #MAX = 10
  static readonly #SHARE = 0.2
  #tokens = RetryBudget.#MAX

  /** Once a call. */
  earn (): void { this.#tokens = Math.min(RetryBudget.#MAX, this.#tokens + RetryBudget.#SHARE) }

  /** Whether there is a retry left, which is gone then. */
  spend (): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}

/**
 * Makes up to three attempts. Between them it waits: exponentially longer, with full jitter, and as long as
 * Retry-After says. It does not begin to wait for what the limit leaves no time for.
 * @throws what the last attempt threw
 */
export async function withRetries<T> (attempt: () => Promise<T>, { isIdempotent, budget, limit }: { isIdempotent: boolean, budget: RetryBudget, limit: Limit }): Promise<T> {
  budget.earn()
  for (let count = 1; ; count++) {
    try {
      return await attempt()
    } catch (error) {
      if (!isIdempotent || count === ATTEMPTS || !isPassing(error)) throw error
      const waitMs = Math.max(error.retryAfterMs ?? 0, Math.random() * Math.min(MAX_WAIT_MS, BASE_MS * 2 ** (count - 1)))
      if (waitMs >= limit.remainingMs() || !budget.spend()) throw error
      await sleep(waitMs, undefined, { signal: limit.signal }).catch(() => { throw limit.signal.reason })
    }
  }
}

/** What may work in a moment. Too many requests are so only for who says when. */
function isPassing (error: unknown): error is HttpCallError {
  if (!(error instanceof HttpCallError)) return false
  if (error.status === undefined) return error.code === 'UPSTREAM_UNREACHABLE'
  return PASSING.has(error.status) || (error.status === 429 && error.retryAfterMs !== undefined)
}

/** Milliseconds of a Retry-After, which is seconds or a date; at most a day. Undefined where it says neither. */
export function retryAfterMs (value: string | string[] | undefined): number | undefined {
  if (typeof value !== 'string') return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return ms > 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : undefined
}

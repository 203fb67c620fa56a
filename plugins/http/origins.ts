import { circuitBreaker, CircuitState, CountBreaker, ExponentialBackoff, halfJitterGenerator, handleWhen, type CircuitBreakerPolicy } from 'cockatiel'
import type { FastifyBaseLogger } from 'fastify'
import { HttpCallError } from './errors.ts'
import { Places } from './places.ts'
import { RetryBudget } from './retry.ts'

/** What is known of an origin, in the memory of this process. */
export interface Origin {
  places: Places
  breaker: CircuitBreakerPolicy
  budget: RetryBudget
}

/** Users can name any number of origins: of more than this, the idle one used longest ago is forgotten. */
const MAX_ORIGINS = 1_000
// Opens when more than half of the last 50 calls failed, 10 at the least.
const SAMPLES = { size: 50, threshold: 0.5, minimumNumberOfCalls: 10 }
// The first probe comes after about a second; each that fails doubles it.
const PROBE_AFTER = { initialDelay: 1_000, maxDelay: 30_000, generator: halfJitterGenerator }

export class Origins {
  readonly #concurrency: number
  readonly #log: FastifyBaseLogger
  readonly #known = new Map<string, Origin>()

  constructor (concurrency: number, log: FastifyBaseLogger) {
    this.#concurrency = concurrency
    this.#log = log
  }

  /** Calls to URLs of users are apart: they can't open the circuit of our own ones. */
  of (origin: string, isUntrusted: boolean): Origin {
    const key = isUntrusted ? `untrusted ${origin}` : origin
    const known = this.#known.get(key) ?? this.#create(origin)
    this.#known.delete(key)
    this.#known.set(key, known)
    if (this.#known.size > MAX_ORIGINS) this.#forget(known)
    return known
  }

  #create (origin: string): Origin {
    const breaker: CircuitBreakerPolicy = circuitBreaker(
      handleWhen(error => speaksAgainst(error, breaker.state === CircuitState.HalfOpen)),
      { breaker: new CountBreaker(SAMPLES), halfOpenAfter: new ExponentialBackoff(PROBE_AFTER) }
    )
    breaker.onBreak(() => this.#log.warn({ origin }, 'too many calls to an origin fail: its circuit opens'))
    breaker.onReset(() => this.#log.info({ origin }, 'an origin is back: its circuit closes'))
    return { places: new Places(this.#concurrency, this.#concurrency), breaker, budget: new RetryBudget() }
  }

  #forget (current: Origin): void {
    for (const [key, origin] of this.#known) {
      if (origin === current || !origin.places.isIdle) continue
      this.#known.delete(key)
      return
    }
  }
}

/** A probe that its caller gave up, or gave too little time, has not shown that the origin is back. */
function speaksAgainst (error: unknown, isProbe: boolean): boolean {
  if (error instanceof HttpCallError && error.code !== 'UPSTREAM_TIMEOUT') return error.isFault
  return isProbe || (error instanceof HttpCallError && error.isFault)
}

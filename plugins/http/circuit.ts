import { BrokenCircuitError, circuitBreaker, CircuitState, CountBreaker, ExponentialBackoff, halfJitterGenerator, handleWhen, type CircuitBreakerPolicy } from 'cockatiel'
import type { FastifyBaseLogger } from 'fastify'
import { HttpCallError } from './errors.ts'

// Opens when more than half of the last 50 calls failed, 10 at the least.
const SAMPLES = { size: 50, threshold: 0.5, minimumNumberOfCalls: 10 }
// The first probe comes after about a second; each that fails doubles it.
const PROBE_AFTER = { initialDelay: 1_000, maxDelay: 30_000, generator: halfJitterGenerator }

/** Keeps calls from an origin that fails, until one call that probes it succeeds. */
export class Circuit {
  readonly #breaker: CircuitBreakerPolicy

  constructor (origin: string, log: FastifyBaseLogger) {
    // A probe that its caller gave up has not shown that the origin is back; else that says nothing.
    const counts = (error: unknown) => isFault(error) || this.#breaker.state === CircuitState.HalfOpen
    this.#breaker = circuitBreaker(handleWhen(counts), { breaker: new CountBreaker(SAMPLES), halfOpenAfter: new ExponentialBackoff(PROBE_AFTER) })
    this.#breaker.onBreak(() => log.warn({ origin }, 'too many calls to an origin fail: its circuit opens'))
    this.#breaker.onReset(() => log.info({ origin }, 'an origin is back: its circuit closes'))
  }

  /**
   * Makes an attempt, if there may be one.
   * @throws HttpCallError CIRCUIT_OPEN, or what the attempt throws
   */
  async run<T> (name: string, attempt: () => Promise<T>): Promise<T> {
    const isOpen = () => new HttpCallError('CIRCUIT_OPEN', `${name}: the circuit is open, as too many calls failed`)
    // While one call probes the origin, the others are not to wait for it.
    if (this.#breaker.state === CircuitState.HalfOpen) throw isOpen()
    const outcome = await this.#breaker.execute(async () => {
      try {
        return { value: await attempt() }
      } catch (error) {
        // An answer that is of no use to the caller is an answer.
        if (!isAnswer(error)) throw error
        return { error }
      }
    }).catch(error => { throw error instanceof BrokenCircuitError ? isOpen() : error })
    if ('error' in outcome) throw outcome.error
    return outcome.value
  }
}

function isFault (error: unknown): boolean {
  return error instanceof HttpCallError && error.isFault
}

function isAnswer (error: unknown): boolean {
  return error instanceof HttpCallError && (error.code === 'UPSTREAM_STATUS' || error.code === 'UPSTREAM_INVALID') && !error.isFault
}

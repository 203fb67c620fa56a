import type { FastifyBaseLogger } from 'fastify'
import { Circuit } from './circuit.ts'
import { Places } from './places.ts'
import { RetryBudget } from './retry.ts'

/** What is known of an origin, in the memory of this process. */
export interface Origin {
  places: Places
  circuit: Circuit
  budget: RetryBudget
}

/** Users can name any number of origins: of more than this, the idle one used longest ago is forgotten. */
const MAX_ORIGINS = 1_000

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
    return { places: new Places(this.#concurrency, this.#concurrency), circuit: new Circuit(origin, this.#log), budget: new RetryBudget() }
  }

  #forget (current: Origin): void {
    for (const [key, origin] of this.#known) {
      if (origin === current || !origin.places.isIdle) continue
      this.#known.delete(key)
      return
    }
  }
}

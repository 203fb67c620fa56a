import type { FastifyBaseLogger } from 'fastify'
import type { TSchema } from 'typebox'
import { compileSchema, type Validate } from '../../server/validator.ts'
import type { CacheObserver } from './metrics.ts'

/** What a cache makes of its values. Durations are milliseconds. */
export interface Policy { name: string, ttl: number, staleFor: number, noneTtl: number }

/** The values of a cache as JSON and back, held against their schema both ways. */
export class Values<Value> {
  readonly #schema: TSchema
  readonly #policy: Policy
  readonly #with: { log: FastifyBaseLogger, observe: CacheObserver, maxBytes: number }
  readonly #said = new Set<string>()
  #validate: Validate | undefined

  constructor (schema: TSchema, policy: Policy, shared: { log: FastifyBaseLogger, observe: CacheObserver, maxBytes: number }) {
    this.#schema = schema
    this.#policy = policy
    this.#with = shared
  }

  /** The value of JSON; undefined when it is none of this cache. */
  read (json: string): { value: Value | null } | undefined {
    try {
      const value = JSON.parse(json) as unknown
      return value === null || this.#isValid(value) ? { value: value as Value | null } : undefined
    } catch {
      return undefined
    }
  }

  /** The JSON of a value and for how many milliseconds it is kept: 0 when it is not. */
  toStore (value: Value | null): [json: string, life: number] {
    const { ttl, staleFor, noneTtl } = this.#policy
    if (value === null) return ['null', noneTtl]
    if (!this.#isValid(value)) {
      this.#complain('unfit', `what was loaded does not fit the schema of its cache and is not kept: ${this.#validate?.errors?.map(({ instancePath, message }) => `${instancePath} ${message}`).join('; ')}`)
      return ['', 0]
    }
    const json = JSON.stringify(value)
    if (Buffer.byteLength(json) > this.#with.maxBytes) {
      this.#complain('large', 'a value is larger than CACHE_VALUE_MAX and is not kept')
      return ['', 0]
    }
    return [json, Math.ceil(ttl * (1 - Math.random() / 10)) + staleFor]
  }

  /** What is in Redis is no value of this cache. */
  isInvalid (): void {
    this.#complain('invalid', 'what is in Redis is no value of this cache: it is loaded anew')
  }

  #isValid (value: unknown): boolean {
    // Compiled with the first: many processes never see one.
    this.#validate ??= compileSchema(this.#schema, { allErrors: false })
    return this.#validate(value)
  }

  /** Counts what is wrong, and says so once. */
  #complain (kind: 'invalid' | 'unfit' | 'large', message: string): void {
    const { name } = this.#policy
    this.#with.observe.fault(name, kind)
    if (this.#said.has(kind)) return
    this.#said.add(kind)
    this.#with.log.warn({ cache: name }, message)
  }
}

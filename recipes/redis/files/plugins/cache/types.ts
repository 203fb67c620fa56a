import type { Static, TSchema } from 'typebox'

/** What is kept, and for how long. Durations are milliseconds. */
export interface CacheDefinition<Schema extends TSchema> {
  /** Its name in Redis, in metrics and in the log: letters, digits and `-`. */
  name: string
  /** What the values are: plain JSON, so no Date. Values of another schema have other keys: releases do not read each other's. */
  value: Schema
  /** Raise it when values of the same shape mean something else. */
  version?: number
  /** For how long a value is fresh; up to a tenth less, so that what came together does not go together. */
  ttl: number
  /** For how long after that it is still given out, while one process loads it anew; 0 unless given. */
  staleFor?: number
  /** For how long it is kept that there is none (`null`); 0, not at all, unless given. */
  noneTtl?: number
}

export interface GetOptions {
  /** What the value is made of: `invalidate` with one of these ends it. */
  tags?: readonly string[]
}

/** Loads a value, or null when there is none. The signal fires when it takes too long. */
export type Load<Value> = (signal: AbortSignal) => Promise<Value | null | undefined>

export interface Cache<Value> {
  /**
   * The value of a key: the kept one, or else what `load` gives, which of all processes one calls at a time.
   * Never keep what depends on who asks, unless the key says who; never keep whether somebody may.
   * @throws what `load` throws, or an error with status 503 when too many loads are under way
   */
  get: (key: string, load: Load<Value>, options?: GetOptions) => Promise<Value | null>
}

export interface Caches {
  /** Makes a cache. Each name once. */
  define: <Schema extends TSchema>(definition: CacheDefinition<Schema>) => Cache<Static<Schema>>
  /**
   * Ends what is kept under any of the tags, for all processes. Call it after the change is committed.
   * @returns false when Redis is away: it is done as soon as it is back, and this process keeps away from these values until then
   */
  invalidate: (...tags: string[]) => Promise<boolean>
  /** Ends all that is kept. */
  clear: () => Promise<boolean>
}

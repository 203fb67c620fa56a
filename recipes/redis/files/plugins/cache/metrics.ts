import { Counter, Histogram, type Registry } from 'prom-client'
import { gauge } from '../metrics/http.ts'

/** How a get came by its value: kept and fresh, kept and stale, loaded, loaded by another get of this process, loaded as there is no Redis. */
export type Result = 'hit' | 'stale' | 'miss' | 'shared' | 'direct'
/** In Redis is no value of the cache; what was loaded does not fit, is too large; the lock was lost; a tag was invalidated meanwhile. */
export type Fault = 'invalid' | 'unfit' | 'large' | 'lost' | 'outdated'

export interface CacheObserver {
  got: (cache: string, result: Result) => void
  fault: (cache: string, kind: Fault) => void
  /** A load begins. Gives what ends it. */
  load: (cache: string) => (outcome: 'done' | 'none' | 'failed') => void
  /** Redis did not do what it was asked. */
  redis: (fault: 'away' | 'unanswered' | 'error') => void
}

const LOAD_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30]

/** Nobody may read the metrics. */
export const unobserved: CacheObserver = { got: () => {}, fault: () => {}, load: () => () => {}, redis: () => {} }

/** @param state of the connection to Redis, where there is one */
export function observeCaches (registry: Registry, state: () => { isReady: boolean, pending: number } | undefined): CacheObserver {
  const registers = [registry]
  const gets = new Counter({ name: 'cache_gets_total', help: 'Values that were asked for, by how they were come by: hit, stale, miss, shared, direct', labelNames: ['cache', 'result'], registers })
  const loads = new Histogram({ name: 'cache_load_duration_seconds', help: 'Loads, waiting for their turn and all, by how they ended: done, none, failed', labelNames: ['cache', 'outcome'], buckets: LOAD_SECONDS, registers })
  const faults = new Counter({ name: 'cache_faults_total', help: 'What was not kept or not used: invalid, unfit, large, lost, outdated', labelNames: ['cache', 'kind'], registers })
  const redis = new Counter({ name: 'cache_redis_failures_total', help: 'What Redis was not asked (away), did not answer (unanswered) or refused (error)', labelNames: ['kind'], registers })
  for (const kind of ['away', 'unanswered', 'error']) redis.inc({ kind }, 0)
  gauge(registry, 'cache_redis_up', 'Whether the cache has its Redis', () => state()?.isReady === true ? 1 : 0)
  gauge(registry, 'cache_invalidations_pending', 'Tags that Redis has yet to be told of', () => state()?.pending ?? 0)
  return {
    got: (cache, result) => gets.inc({ cache, result }),
    fault: (cache, kind) => faults.inc({ cache, kind }),
    load: cache => {
      const end = loads.startTimer({ cache })
      return outcome => { end({ outcome }) }
    },
    redis: kind => redis.inc({ kind })
  }
}

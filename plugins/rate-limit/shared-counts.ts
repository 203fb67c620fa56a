import type { FastifyBaseLogger } from 'fastify'
import type { FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import LocalStore from '@fastify/rate-limit/store/LocalStore.js'
import { complaint, connectRedis } from '../../server/redis.ts'

type Count = { current: number, ttl: number }
type Callback = (error: Error | null, count?: Count) => void
interface Counter { incr: (key: string, callback: Callback, timeWindow: number, max: number) => void, child: (options: RouteOptions) => Counter }
interface RouteOptions { routeInfo: { method?: string | string[], url?: string } }

/** A request does not wait for a Redis that hangs. */
const COMMAND_MS = 500
const AWAY = 'Redis is away: each process limits the rate by its own counts'

/** Counts a request in a window, and says how many there are and for how long the window goes on. In one step: who crashes between two would leave a count without an end. */
const COUNT = `
  local current = redis.call('INCR', KEYS[1])
  local ttl = redis.call('PTTL', KEYS[1])
  if ttl < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    ttl = tonumber(ARGV[1])
  end
  return { current, ttl }`

/**
 * Counts in Redis, for all processes together. Each process counts for itself, too: while Redis is
 * away, these counts are what holds.
 * @param prefix of the keys
 * @returns the store of @fastify/rate-limit, and what ends its connection
 */
export function sharedCounts (url: string, prefix: string, log: FastifyBaseLogger): { store: FastifyRateLimitStoreCtor, close: () => void } {
  const redis = connectRedis(url, log, AWAY, { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: COMMAND_MS })
  const counting = complaint(redis, log, AWAY)

  class Shared implements Counter {
    readonly #local: Counter
    readonly #prefix: string

    constructor (_options: unknown, local: Counter = new LocalStore(false, false), own = prefix) {
      this.#local = local
      this.#prefix = own
    }

    incr (key: string, callback: Callback, timeWindow: number, max: number): void {
      this.#local.incr(key, (error, here) => {
        if (redis.status !== 'ready') return callback(error, here)
        redis.eval(COUNT, 1, this.#prefix + key, timeWindow).then(answer => {
          counting.worked()
          const [current = 0, ttl = timeWindow] = answer as number[]
          callback(null, { current, ttl })
        }, (failure: unknown) => {
          counting.failed(failure)
          callback(error, here)
        })
      }, timeWindow, max)
    }

    child (options: RouteOptions): Shared {
      const { method, url: path } = options.routeInfo
      return new Shared(options, this.#local.child(options), `${this.#prefix}${String(method)}${path}:`)
    }
  }

  return { store: Shared as unknown as FastifyRateLimitStoreCtor, close: () => redis.disconnect() }
}

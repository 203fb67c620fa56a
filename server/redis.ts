import type { FastifyBaseLogger } from 'fastify'
import { Redis, type RedisOptions } from 'ioredis'

const FIRST_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 5_000
/** Longer than any command waits at the server, such as BullMQ's for a job. */
const SILENT_MS = 15_000
/** A connection on which nothing is asked is asked now and then. */
const PROBE_MS = 10_000

/**
 * A connection to Redis that comes back by itself, also when it died without a word. That it is away is said once each time.
 * @param message what that means
 */
export function connectRedis (url: string, log: FastifyBaseLogger, message: string, options: RedisOptions): Redis {
  const redis = new Redis(url, { ...options, socketTimeout: SILENT_MS, retryStrategy: times => Math.min(FIRST_BACKOFF_MS * 2 ** times, MAX_BACKOFF_MS) })
  let isAway = false
  redis.on('error', error => {
    if (!isAway) log.warn({ err: error }, message)
    isAway = true
  })
  redis.on('ready', () => { isAway = false })
  const probe = setInterval(() => { if (redis.status === 'ready') redis.ping().catch(() => {}) }, PROBE_MS).unref()
  redis.on('end', () => clearInterval(probe))
  return redis
}

/** Says once that a command fails though Redis is there (its ACL, say, or it hangs), and again after it has worked. */
export function complaint (redis: Redis, log: FastifyBaseLogger, message: string): { worked: () => void, failed: (error: unknown) => void } {
  let isSaid = false
  return {
    worked: () => { isSaid = false },
    failed: error => {
      if (isSaid || redis.status !== 'ready') return
      isSaid = true
      log.warn({ err: error }, message)
    }
  }
}

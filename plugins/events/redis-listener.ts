import type { FastifyBaseLogger } from 'fastify'
import { Redis } from 'ioredis'
import type { Listener, Source } from './listener.ts'

const FIRST_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 5_000
/** What is not announced by then is found by those who look now and then. */
const ANNOUNCE_MS = 2_000

/** Wakes the processes up through Redis. */
export interface RedisChannel {
  /** Calls `onWake` when a process announces events, and after each (re)connection, as it may have missed one. */
  listen: (onWake: () => void) => Listener
  /** Tells all processes that there are new events. */
  announce: () => void
  close: () => void
}

/** The channel of a database. Without Redis nothing is lost: processes look for events now and then. */
export function redisChannel (url: string, source: Source, log: FastifyBaseLogger): RedisChannel {
  const channel = channelOf(source)
  const publisher = connection()
  const announcing = complaint(publisher, 'events can\'t be announced through Redis: other processes ask for them now and then')

  function connection (): Redis {
    const redis = new Redis(url, {
      lazyConnect: true,
      maxRetriesPerRequest: 1,
      commandTimeout: ANNOUNCE_MS,
      // Each connection subscribes when it is ready, the first as those after it.
      autoResubscribe: false,
      retryStrategy: times => Math.min(FIRST_BACKOFF_MS * 2 ** times, MAX_BACKOFF_MS)
    })
    let isAway = false
    redis.on('error', error => {
      if (!isAway) log.warn({ err: error }, 'Redis is away: asking for events now and then')
      isAway = true
    })
    redis.on('ready', () => { isAway = false })
    return redis
  }

  /** Says once that a command fails though Redis is there (its ACL, say), and again after it has worked. */
  function complaint (redis: Redis, message: string): { worked: () => void, failed: (error: unknown) => void } {
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

  function listen (onWake: () => void): Listener {
    const subscriber = connection()
    subscriber.on('message', onWake)
    const hearing = complaint(subscriber, 'events can\'t be heard of through Redis: asking for them now and then')
    subscriber.on('ready', () => subscriber.subscribe(channel).then(() => {
      hearing.worked()
      onWake()
    }, hearing.failed))
    subscriber.connect().catch(() => {})
    return { close: async () => subscriber.disconnect() }
  }

  return {
    listen,
    announce: () => { publisher.publish(channel, '').then(announcing.worked, announcing.failed) },
    close: () => publisher.disconnect()
  }
}

/** Services that share a Redis have channels of their own. */
export function channelOf ({ url, schema = 'public' }: Source): string {
  return `keel:events:${new URL(url).pathname.slice(1)}:${schema}`
}

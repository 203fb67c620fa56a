import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'
import { complaint, connectRedis } from '../../server/redis.ts'
import type { Listener, Source } from './listener.ts'

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
  const announcing = complaint(publisher, log, 'events can\'t be announced through Redis: other processes ask for them now and then')

  function connection (): Redis {
    // Each connection subscribes when it is ready, the first as those after it.
    return connectRedis(url, log, 'Redis is away: asking for events now and then', { lazyConnect: true, maxRetriesPerRequest: 1, commandTimeout: ANNOUNCE_MS, autoResubscribe: false })
  }

  function listen (onWake: () => void): Listener {
    const subscriber = connection()
    subscriber.on('message', onWake)
    const hearing = complaint(subscriber, log, 'events can\'t be heard of through Redis: asking for them now and then')
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

import { Queue, type ConnectionOptions } from 'bullmq'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'
import { connectRedis } from '../../../server/redis.ts'
import { within } from '../../../server/within.ts'

/** What is not answered by then is tried again later. */
const COMMAND_TIMEOUT_MS = 5_000

/** The queues of a service in Redis, and what each of its connections has. */
export interface Store {
  redis: Redis
  prefix: string
  /** Whether Redis can be asked now. */
  isReady: () => boolean
  /** A queue of BullMQ; only while Redis can be asked. */
  queue: (name: string) => Queue
  /** Begins anew with all queues, once a command has failed: what they are made of may have failed with it. */
  renew: () => void
  /** The names of all queues that there were ever jobs for, of other releases too; sorted. */
  names: () => Promise<string[]>
  /** Notes the names of queues. */
  note: (names: string[]) => Promise<void>
  close: () => void
}

/** What keys in Redis begin with: services, and databases of a service, that share a Redis have queues of their own. */
export function prefixOf (databaseUrl: string): string {
  const { pathname, searchParams } = new URL(databaseUrl)
  return `keel:jobs:${pathname.slice(1)}:${searchParams.get('schema') ?? 'public'}`
}

/** Connects to Redis for all but what waits there for jobs. It comes back by itself, and commands fail while it is away. */
export function openStore (url: string, databaseUrl: string, log: FastifyBaseLogger): Store {
  const prefix = prefixOf(databaseUrl)
  const redis = connectRedis(url, log, 'Redis is away: jobs are kept, and wait for it', { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: COMMAND_TIMEOUT_MS })
  const registry = `${prefix}:queues`
  let queues = new Map<string, Queue>()

  function queue (name: string): Queue {
    const present = queues.get(name)
    if (present) return present
    // The version and what is evicted are looked at once, by who begins to work.
    const made = new Queue(name, { connection: asConnection(redis), prefix, skipVersionCheck: true })
    made.on('error', error => log.debug({ err: error, queue: name }, 'a queue had trouble with Redis'))
    queues.set(name, made)
    return made
  }

  return {
    redis,
    prefix,
    isReady: () => redis.status === 'ready',
    queue,
    renew: () => { queues = new Map() },
    names: async () => (await redis.smembers(registry)).sort(),
    note: async names => { await redis.sadd(registry, ...names) },
    close: () => redis.disconnect()
  }
}

/** Waits until Redis can be asked, so many milliseconds at the most. @returns whether it can */
export async function ready ({ redis }: Store, ms: number): Promise<boolean> {
  if (redis.status === 'ready') return true
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const onReady = () => resolve(true)
  redis.once('ready', onReady)
  try {
    return await within(promise, ms, () => false)
  } finally {
    redis.off('ready', onReady)
  }
}

/** An ioredis of ours as BullMQ takes it. */
export function asConnection (redis: Redis): ConnectionOptions {
  return redis as unknown as ConnectionOptions
}

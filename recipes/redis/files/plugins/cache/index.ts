import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Flights } from './flights.ts'
import { Invalidation } from './invalidation.ts'
import { KeyedCache, type Names, type Shared } from './keyed.ts'
import { Loads } from './loads.ts'
import { observeCaches, unobserved } from './metrics.ts'
import { invalidateAfter } from './routes.ts'
import { Store } from './store.ts'
import type { Caches } from './types.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Values in Redis, for all processes of the service. Without a Redis nothing is kept, and everything else is as with one. */
    cache: Caches
  }
  interface FastifyContextConfig {
    /** Tags that what this route does invalidates, before it is answered; `{id}` is the parameter `id` of its path. */
    invalidates?: string[]
  }
}

const NAME = /^[a-z][a-z0-9-]{0,40}$/
/** Longer keys are kept under their hash. */
const MAX_KEY = 128
/** The tag that everything has. */
const ALL = '*'

/** Caches in Redis: one process loads, the others wait; tags end what is kept; without Redis loads go on, a few at a time. */
async function cache (fastify: FastifyInstance) {
  const { config, log, shutdown } = fastify
  const url = config.CACHE_REDIS_URL ?? config.REDIS_URL
  const names = namesOf(config.DATABASE_URL)
  const flights = new Flights()
  const background = new Set<Promise<unknown>>()
  const caches = new Set<string>()
  let isClosing = false
  let shared: Shared['shared']
  const observe = fastify.metrics.isOn
    ? observeCaches(fastify.metrics.registry, () => shared === undefined ? undefined : { isReady: shared.store.isReady, pending: shared.invalidation.pending })
    : unobserved

  if (url === undefined) {
    log.info('the cache keeps nothing: neither CACHE_REDIS_URL nor REDIS_URL is set')
  } else {
    const store = new Store(url, { timeoutMs: config.CACHE_TIMEOUT, maxBytes: config.CACHE_VALUE_MAX }, log, observe.redis)
    shared = { store, invalidation: new Invalidation(store, names.tags([]), log) }
    fastify.addHook('onClose', async () => {
      shared?.invalidation.close()
      store.close()
    })
  }

  const all: Shared = {
    shared,
    flights,
    names,
    observe,
    log,
    loads: new Loads(config.CACHE_LOADS_MAX, config.REQUEST_TIMEOUT_MS),
    maxBytes: config.CACHE_VALUE_MAX,
    inBackground: work => {
      if (isClosing) return false
      const done: Promise<unknown> = work().finally(() => background.delete(done))
      background.add(done)
      return true
    }
  }

  async function end (tags: readonly string[]): Promise<boolean> {
    flights.forget(new Set(tags))
    return await shared?.invalidation.end(tags) ?? true
  }

  fastify.decorate('cache', {
    define: definition => {
      const { name, ttl, staleFor = 0, noneTtl = 0 } = definition
      if (!NAME.test(name)) throw new Error(`"${name}" is no name of a cache: lower case letters, digits and -.`)
      if (caches.has(name)) throw new Error(`The cache "${name}" is defined twice.`)
      for (const ms of [ttl, staleFor, noneTtl]) if (!Number.isSafeInteger(ms) || ms < 0) throw new Error(`The cache "${name}": durations are whole numbers of milliseconds.`)
      if (ttl === 0) throw new Error(`The cache "${name}" keeps nothing: its ttl is 0.`)
      caches.add(name)
      return new KeyedCache(definition, all)
    },
    invalidate: async (...tags) => tags.length === 0 || await end(names.tags(tags).slice(1)),
    clear: async () => await end(names.tags([]))
  })

  invalidateAfter(fastify)

  // What loads use is still there.
  fastify.addHook('preClose', async () => {
    isClosing = true
    await Promise.race([Promise.all(background), sleep(shutdown.remainingMs(), undefined, { ref: false })])
  })
}

/** Services that share a Redis have keys of their own. */
function namesOf (databaseUrl: string | undefined): Names {
  const prefix = `keel:cache:${databaseUrl === undefined ? '' : new URL(databaseUrl).pathname.slice(1)}`
  const short = (key: string) => key.length <= MAX_KEY && !key.startsWith('#') ? key : `#${createHash('sha256').update(key).digest('base64url')}`
  return {
    entry: (cache, key) => `${prefix}:entry:${cache}:${short(key)}`,
    lock: (cache, key) => `${prefix}:lock:${cache}:${short(key)}`,
    tags: tags => [ALL, ...tags].map(tag => `${prefix}:tag:${short(tag)}`)
  }
}

export type { Cache, CacheDefinition, Caches, GetOptions, Load } from './types.ts'
export default fp(cache, { name: 'cache', dependencies: ['config', 'metrics', 'shutdown'] })

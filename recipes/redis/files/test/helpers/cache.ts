import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { Type, type Static } from 'typebox'
import type { Cache, CacheDefinition } from '../../plugins/cache/index.ts'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp } from './app.ts'
import { valueOf } from './metrics.ts'
import { until } from './until.ts'

const Thing = Type.Object({ n: Type.Integer() }, { additionalProperties: false })
export type ThingValue = Static<typeof Thing>
export const HOUR = 3_600_000
/** On a machine that is busy Redis may take its time. */
export const PATIENT = { CACHE_TIMEOUT: 20_000 }
/** What becomes a 503. */
export const refused = Object.assign(new Error(), { statusCode: 503 })
export const things: CacheDefinition<typeof Thing> = { name: 'things', value: Thing, ttl: HOUR }

/** What loads, and how often it did. */
export function source (value: ThingValue | null = { n: 1 }) {
  const source = {
    value,
    count: 0,
    /** What the loads wait for. */
    gate: Promise.resolve(),
    load: async () => {
      source.count++
      const { value } = source
      await source.gate
      return value
    }
  }
  return source
}

/** What loads can be made to wait for. */
export function gate () {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { promise, open: resolve }
}

/** Until an app has its Redis. */
export const connected = async (...apps: FastifyInstance[]) => await until(async () => (await Promise.all(apps.map(app => app.metrics.scrape()))).every(({ text }) => text.includes('cache_redis_up 1')))

/** Two apps over one Redis, which stand for two processes, and their caches. */
export async function twoApps (t: Test, url: string, definition: CacheDefinition<typeof Thing> = things, overrides: Partial<Config> = {}) {
  const settings = { REDIS_URL: url, ...PATIENT, ...overrides }
  const apps = [await buildApp(t, settings), await buildApp(t, settings)] as const
  await connected(...apps)
  const caches = apps.map(app => app.cache.define(definition)) as [Cache<ThingValue>, Cache<ThingValue>]
  return { apps, caches }
}

/** A client of the Redis, to see and to change what is in it. Ends with the test. */
export function client (t: Test, url: string) {
  const redis = new Redis(url)
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  return redis
}

/** The key of the one entry there is. */
export const entryKey = async (redis: Redis) => (await redis.keys('*:entry:*'))[0]!

/** The value of a metric; 0 when there is none yet. */
export const metric = async (app: FastifyInstance, sample: string) => valueOf((await app.metrics.scrape()).text, sample) ?? 0

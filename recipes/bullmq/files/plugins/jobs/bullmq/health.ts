import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'

/** The oldest Redis that BullMQ is at home on. */
const MINIMUM = { major: 6, minor: 2 }

/** Says what is wrong with a Redis that is to keep jobs. It may be one that does not say. */
export async function checkServer (redis: Redis, log: FastifyBaseLogger): Promise<void> {
  const info = await redis.info()
  const said = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1]
  const version = said('redis_version')
  const [major = 0, minor = 0] = version?.split('.').map(Number) ?? []
  if (version !== undefined && (major < MINIMUM.major || (major === MINIMUM.major && minor < MINIMUM.minor))) log.warn({ version }, `Redis of the jobs is older than ${MINIMUM.major}.${MINIMUM.minor}`)
  const policy = said('maxmemory_policy')
  if (policy !== undefined && policy !== 'noeviction') log.warn({ policy }, 'Redis of the jobs may evict them when its memory is full: set maxmemory-policy to noeviction')
}

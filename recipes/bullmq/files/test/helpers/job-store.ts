// What tests do to stored jobs behind the back of what keeps them: BullMQ and its outbox.
import type { Queue } from 'bullmq'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { redisUrl } from '../../plugins/jobs/bullmq/driver.ts'
import { openStore, ready, type Store } from '../../plugins/jobs/bullmq/redis.ts'

const SILENT = { warn: () => {}, debug: () => {} } as unknown as FastifyBaseLogger

/** Runs `use` on a queue in Redis. */
export async function inRedis<T> ({ config, databaseUrl }: Pick<FastifyInstance, 'config' | 'databaseUrl'>, name: string, use: (queue: Queue, store: Store) => Promise<T>): Promise<T> {
  const store = openStore(redisUrl(config), databaseUrl, SILENT)
  try {
    await ready(store, 10_000)
    return await use(store.queue(name), store)
  } finally {
    store.close()
  }
}

/** What the outbox has of a queue, in the order in which it was sent. */
export async function rowsOf (app: FastifyInstance, queue: string) {
  return await app.prisma.outgoingJob.findMany({ where: { queue }, orderBy: { position: 'asc' } })
}

/** Makes the jobs of a queue that wait for their time due now. */
export async function makeDue (app: FastifyInstance, queue: string): Promise<void> {
  await app.prisma.$executeRaw`UPDATE outgoing_jobs SET start_after = now() WHERE queue = ${queue} AND state = 'waiting'`
  await inRedis(app, queue, async queue => { for (const job of await queue.getDelayed()) await job.promote() })
}

/** Gives the jobs of a queue so many attempts after the first. */
export async function limitRetries (app: FastifyInstance, name: string, limit: number): Promise<void> {
  await inRedis(app, name, async (queue, { redis, prefix }) => {
    for (const { id = '', opts } of await queue.getJobs()) await redis.hset(`${prefix}:${name}:${id}`, { opts: JSON.stringify({ ...opts, attempts: limit + 1 }) })
  })
}

/** Takes away the jobs of a queue that are in a state. */
export async function forgetJobs (app: FastifyInstance, name: string, state: 'created' | 'completed'): Promise<void> {
  if (state === 'created') await app.prisma.$executeRaw`DELETE FROM outgoing_jobs WHERE queue = ${name}`
  await inRedis(app, name, async queue => {
    if (state === 'created') await queue.drain(true)
    else await queue.clean(0, 0, 'completed')
  })
}

/** Puts a job on a queue that no release of this service sends. */
export async function putStranger (app: FastifyInstance, name: string): Promise<void> {
  await inRedis(app, name, async queue => { await queue.add(name, 'by hand') })
}

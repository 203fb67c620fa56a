import { setTimeout as sleep } from 'node:timers/promises'
import type { JobsOptions } from 'bullmq'
import type { FastifyBaseLogger } from 'fastify'
import type { Prisma, PrismaClient } from '../../../prisma/generated/client.ts'
import { listen } from '../../events/listener.ts'
import * as outbox from './outbox.ts'
import type { Store } from './redis.ts'
import { BACKOFF, bullPriority, KEPT } from './settings.ts'

export interface RelayOptions { prisma: PrismaClient, databaseUrl: string, store: Store, log: FastifyBaseLogger }

/** Hands jobs from the table on to Redis. */
export interface Relay {
  start: () => void
  /** Looks for jobs now, and once more when it is looking already. */
  wake: () => void
  /** Why no jobs are handed on. */
  problem: () => string | undefined
  close: () => Promise<void>
}

const CHANNEL = 'outgoing_jobs'
const BATCH = 500
/** Of data, in bytes: what is handed on together is in memory more than once. */
const BATCH_BYTES = 4_000_000
/** Jobs are announced when they are committed; those whose time has come, and behind a pooler all, are looked for. */
const POLL_MS = 1_000
const LOOK_AFTER_MS = 5_000
const TRANSACTION = { timeout: 20_000, maxWait: 10_000 }

export function createRelay ({ prisma, databaseUrl, store, log }: RelayOptions): Relay {
  const closing = new AbortController()
  let bell = Promise.withResolvers<void>()
  let problem: string | undefined
  let running: Promise<void> | undefined
  /** How many jobs are looked at at a time: fewer while they are large, or when they were too many for the time that there is. */
  let size = BATCH
  let lookedAfter = performance.now()
  let listener: { close: () => Promise<void> } | undefined

  function wake (): void {
    bell.resolve()
  }

  async function run (): Promise<void> {
    while (!closing.signal.aborted) {
      bell = Promise.withResolvers()
      try {
        if (store.isReady()) {
          while (await pass() && !closing.signal.aborted);
          await lookAfter()
        }
        problem = undefined
      } catch (error) {
        store.renew()
        size = Math.ceil(size / 4)
        if (problem === undefined && !closing.signal.aborted) log.warn({ err: error }, 'jobs could not be handed on to Redis, and will be')
        problem = 'jobs can\'t be handed on to Redis'
        // Not at once: whatever it is takes a moment.
        bell = Promise.withResolvers()
      }
      await Promise.race([bell.promise, sleep(POLL_MS, undefined, { signal: closing.signal })]).catch(() => {})
    }
  }

  /** Hands a batch on. One that is killed in between hands it on again: BullMQ takes no second job of an id. @returns whether there may be more */
  async function pass (): Promise<boolean> {
    return await prisma.$transaction(async tx => {
      const sql = sqlOf(tx)
      if (!await outbox.lock(sql)) return false
      const { jobs, hasMore } = await outbox.next(sql, size, BATCH_BYTES)
      if (jobs.length === 0) return false
      const queues = Map.groupBy(jobs, ({ queue }) => queue)
      await store.note([...queues.keys()])
      for (const [queue, some] of queues) await store.queue(queue).addBulk(some.map(({ id, data, ...job }) => ({ name: queue, data, opts: optionsOf(id, job) })))
      await outbox.handed(sql, jobs)
      size = Math.min(BATCH, jobs.length * 2)
      return hasMore
    }, TRANSACTION)
  }

  /** What has ended there unheard, or was lost with Redis, is not waited for. */
  async function lookAfter (): Promise<void> {
    if (performance.now() - lookedAfter < LOOK_AFTER_MS) return
    lookedAfter = performance.now()
    const sql = sqlOf(prisma)
    for (const { id, queue } of await outbox.quiet(sql, BATCH)) {
      const state = await store.queue(queue).getJobState(id)
      if (state === 'completed' || state === 'failed') await outbox.ended(sql, id)
      if (state === 'unknown') await outbox.again(sql, id)
    }
    while (await forget(sql) === BATCH && !closing.signal.aborted);
  }

  /** Forgets ids of long ago. Not those of dead jobs that are still there: BullMQ would take no second one of the id, and say nothing. */
  async function forget (sql: outbox.Sql): Promise<number> {
    const old = await outbox.old(sql, BATCH)
    const gone = await Promise.all(old.map(async ({ id, queue }) => {
      const job = await store.queue(queue).getJob(id)
      const isDone = await job?.isCompleted()
      // BullMQ forgets what is done only when another one ends.
      if (isDone === true) await job?.remove()
      return job === undefined || isDone === true ? [id] : []
    }))
    await outbox.forget(sql, gone.flat())
    return old.length
  }

  return {
    start: () => {
      // Closed while the workers began, it would listen for ever.
      if (running || closing.signal.aborted) return
      listener = listen({ url: databaseUrl, schema: new URL(databaseUrl).searchParams.get('schema') ?? undefined, channel: CHANNEL }, wake, log)
      running = run()
    },
    wake,
    problem: () => problem,
    close: async () => {
      closing.abort()
      wake()
      await listener?.close()
      await running
    }
  }
}

export function sqlOf (db: Prisma.TransactionClient): outbox.Sql {
  return async <Row>(text: string, ...values: unknown[]) => await db.$queryRawUnsafe<Row[]>(text, ...values)
}

function optionsOf (id: string, { priority, attempts, delayMs, createdAt }: Pick<outbox.Outgoing, 'priority' | 'attempts' | 'delayMs' | 'createdAt'>): JobsOptions {
  return { jobId: id, priority: bullPriority(priority), attempts, delay: Math.ceil(delayMs), timestamp: createdAt.getTime(), backoff: { type: BACKOFF }, ...KEPT }
}

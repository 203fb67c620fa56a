import { Prisma, type PrismaClient } from '../../../prisma/generated/client.ts'
import type { Backlog, QueueCounts } from '../types.ts'

/** The queues of the jobs' schema, by name, with what is on them now. */
export async function countQueues (prisma: PrismaClient, schema: string): Promise<QueueCounts[]> {
  const [queues, jobs] = [Prisma.raw(`${schema}.queue`), Prisma.raw(`${schema}.job`)]
  return await prisma.$queryRaw<QueueCounts[]>`
    SELECT queue.name,
      count(*) FILTER (WHERE job.name = queue.name AND state < 'active' AND start_after <= now())::int AS ready,
      count(*) FILTER (WHERE job.name = queue.name AND state < 'active' AND start_after > now())::int AS deferred,
      count(*) FILTER (WHERE job.name = queue.name AND state = 'active')::int AS active,
      count(*) FILTER (WHERE job.name = queue.dead_letter AND state < 'active')::int AS dead
    FROM ${queues} AS queue LEFT JOIN ${jobs} AS job ON job.name IN (queue.name, queue.dead_letter)
    WHERE queue.dead_letter IS NOT NULL GROUP BY queue.name ORDER BY queue.name`
}

/** What pg-boss's own count of a few seconds ago says of each queue: cheap however many jobs there are. */
export async function backlog (prisma: PrismaClient, schema: string): Promise<Backlog[]> {
  return await prisma.$queryRaw<Backlog[]>`SELECT name, ready_count AS ready, deferred_count AS deferred, active_count AS active FROM ${Prisma.raw(`${schema}.queue`)}`
}

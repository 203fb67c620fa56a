import { Prisma, type PrismaClient } from '../../prisma/generated/client.ts'

/** How many jobs of a queue may start now, may start later, run, and are dead. */
export interface QueueCounts { name: string, ready: number, deferred: number, active: number, dead: number }

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

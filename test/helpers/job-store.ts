// What tests do to stored jobs behind the back of what keeps them: pg-boss.
import type { FastifyInstance } from 'fastify'

/** Makes the jobs of a queue that wait for their time due now. */
export async function makeDue ({ prisma }: FastifyInstance, queue: string): Promise<void> {
  await prisma.$executeRaw`UPDATE pgboss.job SET start_after = now() WHERE name = ${queue} AND state IN ('created', 'retry')`
}

/** Gives the jobs of a queue so many attempts after the first. */
export async function limitRetries ({ prisma }: FastifyInstance, queue: string, limit: number): Promise<void> {
  await prisma.$executeRaw`UPDATE pgboss.job SET retry_limit = ${limit} WHERE name = ${queue}`
}

/** Takes away the jobs of a queue that are in a state. */
export async function forgetJobs ({ prisma }: FastifyInstance, queue: string, state: 'created' | 'completed'): Promise<void> {
  await prisma.$executeRaw`DELETE FROM pgboss.job WHERE name = ${queue} AND state::text = ${state}`
}

/** Puts a job on a queue that no release of this service sends. */
export async function putStranger ({ prisma }: FastifyInstance, queue: string): Promise<void> {
  await prisma.$executeRaw`INSERT INTO pgboss.job (name, data, dead_letter) VALUES (${queue}, '"by hand"', ${`${queue}.dead`})`
}

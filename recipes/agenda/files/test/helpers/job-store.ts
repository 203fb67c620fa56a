// What tests do to stored jobs behind the back of what keeps them: agenda's table.
import type { FastifyInstance } from 'fastify'

/** Makes the jobs of a queue that wait for their time due now. */
export async function makeDue ({ prisma }: FastifyInstance, queue: string): Promise<void> {
  await prisma.$executeRaw`UPDATE agenda_jobs SET next_run_at = now() WHERE name = ${queue} AND locked_at IS NULL AND next_run_at IS NOT NULL`
}

/** Gives the jobs of a queue so many attempts after the first. */
export async function limitRetries ({ prisma }: FastifyInstance, queue: string, limit: number): Promise<void> {
  await prisma.$executeRaw`UPDATE agenda_jobs SET retries = ${limit} WHERE name = ${queue}`
}

/** Takes away the jobs of a queue that are in a state. */
export async function forgetJobs ({ prisma }: FastifyInstance, queue: string, state: 'created' | 'completed'): Promise<void> {
  if (state === 'created') await prisma.$executeRaw`DELETE FROM agenda_jobs WHERE name = ${queue} AND attempts = 0 AND NOT disabled`
  else await prisma.$executeRaw`DELETE FROM agenda_jobs WHERE name = ${queue} AND next_run_at IS NULL AND COALESCE(fail_count, 0) = 0 AND NOT disabled`
}

/** Puts a job on a queue that no release of this service sends. */
export async function putStranger ({ prisma }: FastifyInstance, queue: string): Promise<void> {
  await prisma.$executeRaw`INSERT INTO agenda_jobs (name, data, next_run_at) VALUES (${queue}, '"by hand"', now())`
}

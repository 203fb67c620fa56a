// What tests of agenda read in its table, and do to it.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { storedJobs } from './jobs.ts'

/** The rows of a queue, or of a schedule. */
export const rowsOf = async ({ prisma }: FastifyInstance, name: string) => await prisma.agendaJob.findMany({ where: { name }, orderBy: { position: 'asc' } })
/** How many jobs of a queue are done. */
export const completed = async (app: FastifyInstance, name: string) => (await storedJobs(app, name)).filter(({ state }) => state === 'completed').length
/** As if a worker had locked the jobs of a queue, and had been killed then. */
export const killed = async ({ prisma }: FastifyInstance, name: string) => await prisma.$executeRaw`
  UPDATE agenda_jobs SET locked_at = now() - interval '1 minute', last_modified_by = ${randomUUID()}, attempts = attempts + 1 WHERE name = ${name} AND locked_at IS NULL`

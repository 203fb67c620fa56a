import type { FastifyInstance } from 'fastify'

/** A job as the database has it. */
export interface StoredJob { id: string, name: string, state: string, data: { payload: object }, output: { reason?: string } | null, retry_count: number, source_id: string | null, source_output: { reason?: string } | null }

/** The jobs of a queue, oldest first. */
export async function storedJobs (app: FastifyInstance, queue: string): Promise<StoredJob[]> {
  return await app.prisma.$queryRaw<StoredJob[]>`SELECT id, name, state::text, data, output, retry_count, source_id, source_output FROM pgboss.job WHERE name = ${queue} ORDER BY created_on`
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'

const POLL_MS = 25
const PATIENCE_MS = 60_000

/** A job as the database has it. */
export interface StoredJob { id: string, name: string, state: string, data: { payload: object }, output: { reason?: string } | null, retry_count: number, source_id: string | null, source_output: { reason?: string } | null }

/** Waits until a condition holds; how long that takes is not a test's business. */
export async function until<T> (condition: () => T | Promise<T>): Promise<NonNullable<T>> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const value = await condition()
    if (value) return value as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`still not so: ${String(condition)}`)
    await sleep(POLL_MS)
  }
}

/** The jobs of a queue, oldest first. */
export async function storedJobs (app: FastifyInstance, queue: string): Promise<StoredJob[]> {
  return await app.prisma.$queryRaw<StoredJob[]>`SELECT id, name, state::text, data, output, retry_count, source_id, source_output FROM pgboss.job WHERE name = ${queue} ORDER BY created_on`
}

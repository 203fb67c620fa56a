import type { Prisma } from '../../../prisma/generated/client.ts'
import type { Envelope } from '../envelope.ts'
import type { Job, SendOptions } from '../types.ts'
import { CHANNEL } from './settings.ts'

/** Statements, in whichever transaction. */
export type Sql = <Row>(text: string, ...values: unknown[]) => Promise<Row[]>

/** Those of Prisma's transaction, or of none. */
export function sqlOf (db: Prisma.TransactionClient): Sql {
  return async <Row>(text: string, ...values: unknown[]) => await db.$queryRawUnsafe<Row[]>(text, ...values)
}

/** Writes a job as agenda's own statement would, but in this transaction and under its id. @returns whether there was room for it */
export async function put (sql: Sql, { name, policy, retry }: Pick<Job, 'name' | 'policy' | 'retry'>, envelope: Envelope & { id: string }, { startAfter, priority = 0, singletonKey = '' }: Omit<SendOptions, 'tx'>): Promise<boolean> {
  const [at, delayMs] = typeof startAfter === 'number' ? [null, startAfter] : [startAfter?.toISOString() ?? null, 0]
  const rows = await sql(`
    WITH sent AS (
      INSERT INTO agenda_jobs (id, name, data, priority, retries, policy, key, next_run_at)
      VALUES ($1::uuid, $2, $3::jsonb, $4::int, $5::int, $6, $7, COALESCE($8::timestamptz, now() + $9::float8 * interval '1 millisecond'))
      ON CONFLICT DO NOTHING RETURNING next_run_at
    )
    SELECT CASE WHEN next_run_at <= now() THEN pg_notify('${CHANNEL}', current_schema())::text END AS said FROM sent`,
  envelope.id, name, JSON.stringify(envelope), priority, retry.limit, policy, singletonKey, at, delayMs)
  return rows.length === 1
}

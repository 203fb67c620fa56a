import type { JobWithMetadata, PgBoss } from 'pg-boss'

/**
 * Gives a job back that was interrupted through no fault of its own: it may start at once, and has an attempt more than
 * before. pg-boss counts attempts as they begin, and tells by their count which of them settles a job: the count stays.
 */
export async function handBack (boss: PgBoss, schema: string, { name, id, retryCount }: JobWithMetadata<unknown>, output: object): Promise<void> {
  await boss.getDb().executeSql(`
    UPDATE ${schema}.job SET state = 'retry', retry_limit = retry_limit + 1, start_after = now(), heartbeat_on = NULL, output = $4::jsonb
    WHERE name = $1 AND id = $2 AND state = 'active' AND retry_count = $3`, [name, id, retryCount, JSON.stringify(output)])
}

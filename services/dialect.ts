// What the services say in the words of their database, PostgreSQL. Everything else that they say is common SQL; names in
// double quotes are names.
import { Prisma } from '../prisma/generated/client.ts'
import type { Database } from './database.ts'

/** What a list can be sorted by: which kind of values a column has. */
export type Kind = 'text' | 'integer' | 'time'

const types: Record<Kind, string> = { text: 'text', integer: 'integer', time: 'timestamptz' }

/** Whether a text can be stored. */
export function holdsText (text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

/**
 * Compares a row with a UUID.
 * @public also where nothing asks it that comes and goes
 */
export function uuid (id: string): Prisma.Sql {
  return Prisma.sql`${id}::uuid`
}

/**
 * The time as it is now, not when the transaction began.
 * @public also where nothing asks it that comes and goes
 */
export const NOW = Prisma.sql`clock_timestamp()`

/**
 * Behind a SELECT: others may refer to these rows and not change them until the transaction ends.
 * @public also where nothing asks it that comes and goes
 */
export const LOCKED = Prisma.sql`FOR NO KEY UPDATE`

/**
 * The rows behind the one with this value and id, in the order of a column and then the id.
 * @param value where the kind is time, one in RFC 3339
 */
export function behind (column: string, kind: Kind, isDescending: boolean, value: string | number, id: string): Prisma.Sql {
  // A row comparison is one range of the index; the same in ANDs and ORs would be read from its start.
  return Prisma.sql`(${Prisma.raw(column)}, id) ${Prisma.raw(isDescending ? '<' : '>')} (${value}::${Prisma.raw(types[kind])}, ${uuid(id)})`
}

/** Rows with a text anywhere in one of these columns, whatever its case. */
export function containing (columns: string[], text: string): Prisma.Sql {
  const pattern = `%${text.replace(/[\\%_]/g, '\\$&')}%`
  return Prisma.sql`(${Prisma.join(columns.map(column => Prisma.sql`${Prisma.raw(column)} ILIKE ${pattern}`), ' OR ')})`
}

/** The statements of a transaction that would run on for nobody are ended by the database. */
export async function limitStatements (tx: Database, ms: number): Promise<void> {
  await tx.$executeRaw`
    SELECT set_config('statement_timeout', ${String(ms)}, true) FROM pg_settings
    WHERE name = 'statement_timeout' AND setting::int NOT BETWEEN 1 AND ${ms}`
}

/**
 * Takes a lock that ends with the transaction, after what it wrote can be seen.
 * @returns false, at once, where another transaction has it
 */
export async function tryLock (tx: Database, name: string): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ claimed: boolean }[]>`SELECT pg_try_advisory_xact_lock(hashtextextended(${name}, 0)) AS claimed`
  return row?.claimed === true
}

/** Counts a wrong password until the end of its window, in one statement, so that none of many at once is lost. The first opens the window. */
export async function countFailure (db: Database, key: Uint8Array<ArrayBuffer>, { now, end }: { now: Date, end: Date }): Promise<{ failures: number, windowEndsAt: Date }> {
  const [count] = await db.$queryRaw<{ failures: number, windowEndsAt: Date }[]>`
    INSERT INTO login_throttles AS t (key, failures, window_ends_at, expires_at) VALUES (${key}, 1, ${end}, ${end})
    ON CONFLICT (key) DO UPDATE SET
      failures = CASE WHEN t.window_ends_at > ${now} THEN t.failures + 1 ELSE 1 END,
      window_ends_at = CASE WHEN t.window_ends_at > ${now} THEN t.window_ends_at ELSE ${end} END,
      expires_at = GREATEST(t.expires_at, ${end})
    RETURNING failures, window_ends_at AS "windowEndsAt"`
  return count ?? { failures: 1, windowEndsAt: end }
}

/** Deletes some rows of a table, `limit` at the most, but none that others are at. @returns how many */
export async function deleteSome (db: Database, table: string, where: Prisma.Sql, limit: number): Promise<number> {
  const name = Prisma.raw(table)
  return await db.$executeRaw`DELETE FROM ${name} WHERE ctid = ANY(ARRAY(SELECT ctid FROM ${name} WHERE ${where} LIMIT ${limit} FOR UPDATE SKIP LOCKED))`
}

/** Changes an account. @returns what it is then; undefined where there is none */
export async function changeUser<T extends Prisma.UserSelect> (db: Database, id: string, data: Prisma.UserUpdateManyMutationInput, select: T): Promise<Prisma.UserGetPayload<{ select: T }> | undefined> {
  const [user] = await db.user.updateManyAndReturn({ where: { id }, data, select })
  return user as Prisma.UserGetPayload<{ select: T }> | undefined
}

/** Changes the product that is as asked. @returns what it is then; undefined where none is */
export async function changeProduct (db: Database, where: Prisma.ProductWhereInput & { id: string }, data: Prisma.ProductUpdateManyMutationInput): Promise<Prisma.ProductGetPayload<object> | undefined> {
  return (await db.product.updateManyAndReturn({ where, data }))[0]
}

/** Forgets the first events before a time, as far as every durable consumer has come, `limit` at the most. @returns how many */
export async function trimLog (db: Database, until: Date, limit: number): Promise<number> {
  const [row] = await db.$queryRaw<{ trimmed: number }[]>`
    WITH done AS (
      SELECT least(
        coalesce((SELECT position - 1 FROM events WHERE at >= ${until} ORDER BY position LIMIT 1), (SELECT max(position) FROM events)),
        (SELECT min(position) FROM event_consumers)
      ) AS position
    ), last AS (
      SELECT max(oldest.position) AS position FROM (
        SELECT events.position FROM events, done WHERE events.position <= done.position ORDER BY events.position LIMIT ${limit}
      ) AS oldest
    ), trimmed AS (
      DELETE FROM events USING last WHERE events.position <= last.position RETURNING events.position
    ), horizon AS (
      UPDATE event_horizon SET position = greatest(event_horizon.position, last.position) FROM last WHERE last.position IS NOT NULL
    )
    SELECT count(*)::int AS trimmed FROM trimmed`
  return row?.trimmed ?? 0
}

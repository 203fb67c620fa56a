// What the services say in the words of their database, MySQL or MariaDB. Everything else that they say is common SQL; names
// in double quotes are names. Each session is READ COMMITTED and in UTC (prisma/mysql/session.ts).
import { createHash } from 'node:crypto'
import { Prisma, type PrismaClient } from '../prisma/generated/client.ts'
import { limitFor } from '../prisma/mysql/session.ts'
import type { Database } from './database.ts'

/** What a list can be sorted by: which kind of values a column has. */
export type Kind = 'text' | 'integer' | 'time'

/** Whether a text can be stored. */
export function holdsText (text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

/** Compares a row with a UUID. */
export function uuid (id: string): Prisma.Sql {
  return Prisma.sql`${id}`
}

/** The time as it is now, not when the transaction began. */
export const NOW = Prisma.sql`CURRENT_TIMESTAMP(3)`

/** Behind a SELECT: others may not change these rows until the transaction ends. */
export const LOCKED = Prisma.sql`FOR UPDATE`

/**
 * The rows behind the one with this value and id, in the order of a column and then the id.
 * @param value where the kind is time, one in RFC 3339
 */
export function behind (column: string, kind: Kind, isDescending: boolean, value: string | number, id: string): Prisma.Sql {
  const [name, beyond] = [Prisma.raw(column), Prisma.raw(isDescending ? '<' : '>')]
  const place = kind === 'time' ? new Date(value) : value
  // The first comparison is one range of the index; a row comparison would be read from its start.
  return Prisma.sql`(${name} ${beyond}= ${place} AND (${name} ${beyond} ${place} OR id ${beyond} ${id}))`
}

/** Rows with a text anywhere in one of these columns, whatever its case. */
export function containing (columns: string[], text: string): Prisma.Sql {
  const pattern = `%${text.replace(/[\\%_]/g, '\\$&')}%`
  return Prisma.sql`(${Prisma.join(columns.map(column => Prisma.sql`LOWER(${Prisma.raw(column)}) LIKE LOWER(${pattern})`), ' OR ')})`
}

/** The statements of a transaction that would run on for nobody are ended by the database. MySQL ends those that only read, and those that wait for a lock. */
export async function limitStatements (tx: Database, ms: number): Promise<void> {
  await tx.$executeRaw(Prisma.raw(limitFor(ms)))
}

/**
 * Takes a lock that ends with the transaction, after what it wrote can be seen (prisma/mysql/adapter.ts).
 * @returns false, at once, where another transaction has it
 */
export async function tryLock (tx: Database, name: string): Promise<boolean> {
  // Names are the whole server's, and have 64 characters at the most.
  const key = createHash('sha256').update(name).digest('hex')
  const [row] = await tx.$queryRaw<{ claimed: unknown }[]>`SELECT GET_LOCK(SHA2(CONCAT(DATABASE(), ' ', ${key}), 224), 0) AS claimed`
  return Number(row?.claimed) === 1
}

/** Counts a wrong password until the end of its window, so that none of many at once is lost, and each has a count of its own. The first opens the window. */
export async function countFailure (db: Database, key: Uint8Array<ArrayBuffer>, { now, end }: { now: Date, end: Date }): Promise<{ failures: number, windowEndsAt: Date }> {
  return await together(db, async tx => {
    // What is set is seen by what follows: the end of the window is the last to change.
    await tx.$executeRaw`
      INSERT INTO login_throttles ("key", failures, window_ends_at, expires_at) VALUES (${key}, 1, ${end}, ${end})
      ON DUPLICATE KEY UPDATE
        failures = CASE WHEN window_ends_at > ${now} THEN failures + 1 ELSE 1 END,
        expires_at = GREATEST(expires_at, ${end}),
        window_ends_at = CASE WHEN window_ends_at > ${now} THEN window_ends_at ELSE ${end} END`
    // The row is locked until the transaction ends: nobody has counted since.
    const count = await tx.loginThrottle.findUnique({ where: { key }, select: { failures: true, windowEndsAt: true } })
    return count ?? { failures: 1, windowEndsAt: end }
  })
}

/** Deletes some rows of a table, `limit` at the most. @returns how many */
export async function deleteSome (db: Database, table: string, where: Prisma.Sql, limit: number): Promise<number> {
  return await db.$executeRaw`DELETE FROM ${Prisma.raw(table)} WHERE ${where} LIMIT ${limit}`
}

/** Changes an account. @returns what it is then; undefined where there is none */
export async function changeUser<T extends Prisma.UserSelect> (db: Database, id: string, data: Prisma.UserUpdateManyMutationInput, select: T): Promise<Prisma.UserGetPayload<{ select: T }> | undefined> {
  return await together(db, async tx => {
    await tx.user.updateMany({ where: { id }, data })
    return await tx.user.findUnique({ where: { id }, select }) as Prisma.UserGetPayload<{ select: T }> | null ?? undefined
  })
}

/** Changes the product that is as asked. @returns what it is then; undefined where none is */
export async function changeProduct (db: Database, where: Prisma.ProductWhereInput & { id: string }, data: Prisma.ProductUpdateManyMutationInput): Promise<Prisma.ProductGetPayload<object> | undefined> {
  return await together(db, async tx => {
    const { count } = await tx.product.updateMany({ where, data })
    return count === 0 ? undefined : await tx.product.findUnique({ where: { id: where.id } }) ?? undefined
  })
}

/** Forgets the first events before a time, as far as every durable consumer has come, `limit` at the most. @returns how many */
export async function trimLog (db: Database, until: Date, limit: number): Promise<number> {
  return await together(db, async tx => {
    const [row] = await tx.$queryRaw<{ last: bigint | null }[]>`
      SELECT MAX(position) AS last FROM (
        SELECT position FROM events WHERE position <= LEAST(
          COALESCE((SELECT position - 1 FROM events WHERE at >= ${until} ORDER BY position LIMIT 1), (SELECT MAX(position) FROM events)),
          COALESCE((SELECT MIN(position) FROM event_consumers), ${BigInt(Number.MAX_SAFE_INTEGER)})
        ) ORDER BY position LIMIT ${limit}
      ) AS oldest`
    const last = row?.last ?? null
    if (last === null) return 0
    await tx.$executeRaw`UPDATE event_horizon SET position = GREATEST(position, ${last})`
    return await tx.$executeRaw`DELETE FROM events WHERE position <= ${last}`
  })
}

/** In the transaction of the caller, or one of its own: nobody comes in between. */
async function together<T> (db: Database, work: (tx: Database) => Promise<T>): Promise<T> {
  return '$transaction' in db ? await (db as PrismaClient).$transaction(work) : await work(db)
}

// The migrations of prisma/migrations/ in this process: what the database lacks, and the way to apply it, with the history
// of the Prisma CLI (its table, its checksums, its lock); a service needs no CLI.
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type mariadb from 'mariadb'
import { describeUrl, explainConnection, urlProblem } from './mysql/url.ts'
import { openSession, sessionOf } from './mysql/session.ts'

/** The database could not be migrated; the message is for the operator and has no secrets. */
export class MigrationError extends Error {
  override name = 'MigrationError'
}

/** What differs between the folder and the database, oldest first. */
export interface MigrationStatus {
  /** In the folder, not applied. */
  pending: string[]
  /** Begun and not finished: nothing is applied until they are settled. */
  failed: string[]
}

type Query = (sql: string) => Promise<Record<string, unknown>[]>

const FOLDER = join(import.meta.dirname, 'migrations')
const FILE = 'migration.sql'
const APPLIED = 'SELECT migration_name AS name, finished_at IS NOT NULL AS finished FROM _prisma_migrations WHERE rolled_back_at IS NULL'
const NO_SUCH_TABLE = 1146
/** As the Prisma CLI has it. */
const LOCK = 'prisma_migrate'
const LOCK_SECONDS = 10
const TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at DATETIME(3), migration_name VARCHAR(255) NOT NULL, logs TEXT,
  rolled_back_at DATETIME(3), started_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci`

let names: string[] | undefined

/**
 * Compares prisma/migrations/ with the database: one query, and the folder is read
 * once a process. Needs no right but SELECT on `_prisma_migrations`.
 * @param query runs a statement and gives its rows
 * @throws what `query` throws, except for the missing table: then all are pending
 */
export async function migrationStatus (query: Query): Promise<MigrationStatus> {
  const rows = await query(APPLIED).catch((error: unknown) => {
    const { errno, cause } = error as { errno?: number, cause?: { errno?: number } }
    if ((errno ?? cause?.errno) !== NO_SUCH_TABLE) throw error
    return []
  })
  const applied = new Set(rows.filter(({ finished }) => Number(finished) === 1).map(({ name }) => name))
  const failed = rows.filter(({ finished }) => Number(finished) !== 1).map(({ name }) => String(name))
  return { pending: migrationNames().filter((name) => !applied.has(name) && !failed.includes(name)), failed }
}

/**
 * Applies the pending migrations, as `prisma migrate deploy` does and under the same lock, so that several replicas may
 * start at once.
 * @returns the names of those that this call applied, oldest first
 * @throws MigrationError
 */
export async function applyMigrations (url: string): Promise<string[]> {
  const problem = urlProblem(url)
  if (problem) throw new MigrationError(problem.message)
  let connection: mariadb.Connection | undefined
  try {
    connection = await openSession({ ...sessionOf(url), multipleStatements: true })
    return await migrate(connection, url)
  } catch (error) {
    if (error instanceof MigrationError) throw error
    const { server, database } = describeUrl(url)
    throw new MigrationError(connectionProblem(error, url) ?? `The database "${database}" at ${server} could not be migrated: ${reasonOf(error)}`, { cause: error })
  } finally {
    await connection?.end().catch(() => {})
  }
}

/**
 * What an error of a connection means, in one line: server and database are named,
 * the password never. Understands the driver's, Prisma's and AggregateErrors of either.
 * @returns undefined when the error is none of the connection
 */
export function connectionProblem (error: unknown, url: string): string | undefined {
  return explainConnection(error, url)?.message
}

async function migrate (connection: mariadb.Connection, url: string): Promise<string[]> {
  const query: Query = async sql => await connection.query<Record<string, unknown>[]>(sql)
  // One that is begun has failed, or is another process's: behind the lock it has failed.
  const before = await migrationStatus(query)
  if (before.pending.length + before.failed.length === 0) return []
  const [row] = await query(`SELECT GET_LOCK('${LOCK}', ${LOCK_SECONDS}) AS locked`)
  const { server, database } = describeUrl(url)
  if (Number(row?.locked) !== 1) throw new MigrationError(`Another process is migrating the database "${database}" at ${server}: try again when it has finished.`)
  const [strange] = await query("SELECT COUNT(*) AS count, SUM(table_name = '_prisma_migrations') AS known FROM information_schema.tables WHERE table_schema = DATABASE()")
  if (Number(strange?.count) > 0 && Number(strange?.known) === 0) {
    throw new MigrationError(`The database "${database}" at ${server} has tables but no history of migrations.\n` +
      `If they are this service's, say which migrations they contain: npx prisma migrate resolve --applied ${migrationNames()[0] ?? '<name>'}\n` +
      'Otherwise give the service a database of its own.')
  }
  await connection.query(TABLE)
  // Another process may have applied, or failed, while this one waited for the lock.
  const { pending, failed } = await migrationStatus(query)
  if (failed[0] !== undefined) throw new MigrationError(failedText(failed[0], url))
  for (const name of pending) await apply(connection, name, url)
  return pending
}

async function apply (connection: mariadb.Connection, name: string, url: string): Promise<void> {
  const script = readFileSync(join(FOLDER, name, FILE), 'utf8')
  const id = randomUUID()
  const checksum = createHash('sha256').update(script).digest('hex')
  await connection.query('INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES (?, ?, ?)', [id, checksum, name])
  try {
    await connection.query(script)
  } catch (error) {
    const reason = reasonOf(error)
    await connection.query('UPDATE _prisma_migrations SET logs = ? WHERE id = ?', [reason, id]).catch(() => {})
    throw new MigrationError(failedText(name, url, reason), { cause: error })
  }
  await connection.query('UPDATE _prisma_migrations SET finished_at = CURRENT_TIMESTAMP(3), applied_steps_count = 1 WHERE id = ?', [id])
}

function reasonOf (error: unknown): string {
  const { sqlMessage, message, errno } = error as { sqlMessage?: string | null, message?: string, errno?: number }
  return typeof sqlMessage === 'string' ? `${sqlMessage} (error ${errno})` : message ?? String(error)
}

function failedText (migration: string, url: string, reason?: string): string {
  const { server, database } = describeUrl(url)
  return [
    `The migration ${migration} failed on the database "${database}" at ${server}.`,
    reason === undefined ? 'What the database said is in the column "logs" of _prisma_migrations.' : `The database said: ${reason}`,
    'MySQL and MariaDB commit each change of a table by itself: what came before the statement that failed is there.',
    `Put right what was wrong, undo what is there, then have it run again: npx prisma migrate resolve --rolled-back ${migration}`,
    `or, when you completed it by hand: npx prisma migrate resolve --applied ${migration}`
  ].join('\n')
}

function migrationNames (): string[] {
  names ??= existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => existsSync(join(FOLDER, name, FILE))).sort() : []
  return names
}

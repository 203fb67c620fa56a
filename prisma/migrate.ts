// The migrations of prisma/migrations/ in this process: what the database lacks,
// and the way to apply it. The Prisma CLI does the same; a service needs no CLI.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describeUrl, explainConnection, urlProblem } from './engine/connection.ts'
import { link, openTarget } from './engine/target.ts'

/** The database could not be migrated; the message is for the operator and has no secrets. */
export class MigrationError extends Error {
  override name = 'MigrationError'
}

/** What differs between the folder and the database, oldest first. */
export interface MigrationStatus {
  /** In the folder, not applied. */
  pending: string[]
  /** Begun and not finished: nothing is applied until `prisma migrate resolve` has settled them. */
  failed: string[]
}

type Query = (sql: string) => Promise<Record<string, unknown>[]>

const FOLDER = join(import.meta.dirname, 'migrations')
const FILE = 'migration.sql'
const APPLIED = 'SELECT migration_name AS name, finished_at IS NOT NULL AS finished FROM _prisma_migrations WHERE rolled_back_at IS NULL'
const TABLE = "SELECT to_regclass('_prisma_migrations') IS NULL AS missing"

let names: string[] | undefined

/**
 * Compares prisma/migrations/ with the database: one query, and the folder is read
 * once a process. Needs no right but SELECT on `_prisma_migrations`.
 * @param query runs a statement and gives its rows
 * @throws what `query` throws, except for the missing table: then all are pending
 */
export async function migrationStatus (query: Query): Promise<MigrationStatus> {
  const rows = await query(APPLIED).catch(async (error: unknown) => {
    const [answer] = await query(TABLE)
    if (answer?.missing !== true) throw error
    return []
  })
  const applied = new Set(rows.filter(({ finished }) => finished === true).map(({ name }) => name))
  const failed = rows.filter(({ finished }) => finished !== true).map(({ name }) => String(name))
  return { pending: migrationNames().filter((name) => !applied.has(name) && !failed.includes(name)), failed }
}

/**
 * Applies the pending migrations, as `prisma migrate deploy` does and under the same
 * advisory lock, so that several replicas may start at once.
 * @returns the names of those that this call applied, oldest first
 * @throws MigrationError
 */
export async function applyMigrations (url: string): Promise<string[]> {
  const { pending, failed } = await statusOf(url)
  if (failed[0] !== undefined) throw new MigrationError(failedText(failed[0], url))
  if (pending.length === 0) return []
  const { openEngine } = await import('./engine/engine.ts')
  const target = openTarget({ url })
  try {
    const engine = await openEngine(target)
    const result = await engine('applyMigrations', { migrationsList: migrationsList(), filters: { externalTables: [], externalEnums: [] } })
    return (result as { appliedMigrationNames: string[] }).appliedMigrationNames
  } catch (error) {
    throw new MigrationError(await applyProblem(error, url), { cause: error })
  } finally {
    await target.close()
  }
}

/**
 * What an error of a connection means, in one line: server and database are named,
 * the password never. Understands `pg`, Prisma and AggregateErrors of either.
 * @returns undefined when the error is none of the connection
 */
export function connectionProblem (error: unknown, url: string): string | undefined {
  return explainConnection(error, url)?.message
}

async function statusOf (url: string): Promise<MigrationStatus> {
  const problem = urlProblem(url)
  if (problem) throw new MigrationError(problem.message)
  try {
    const { client, end } = await link(url)
    try {
      return await migrationStatus(async (sql) => (await client.query<Record<string, unknown>>(sql)).rows)
    } finally {
      await end()
    }
  } catch (error) {
    throw new MigrationError(connectionProblem(error, url) ?? `The database can't be asked for its migrations: ${String(error)}`, { cause: error })
  }
}

async function applyProblem (error: unknown, url: string): Promise<string> {
  const { message = String(error), code, meta } = error as { message?: string, code?: string, meta?: { migration_name?: string, database_error?: string } }
  if (code === 'P3018') return failedText(meta?.migration_name ?? '', url, meta?.database_error)
  // Another process may have failed while this one waited for the lock.
  if (code === 'P3009') {
    const [failed] = (await statusOf(url)).failed
    if (failed !== undefined) return failedText(failed, url)
  }
  const { server, database } = describeUrl(url)
  if (code === 'P1002' || /advisory lock/.test(message)) return `Another process is migrating the database "${database}" at ${server}: try again when it has finished.`
  if (code === 'P3005') {
    return `The database "${database}" at ${server} has tables but no history of migrations.\n` +
      `If they are this service's, say which migrations they contain: npx prisma migrate resolve --applied ${migrationNames()[0] ?? '<name>'}\n` +
      'Otherwise give the service a database of its own.'
  }
  return `The database "${database}" at ${server} could not be migrated: ${message}`
}

function failedText (migration: string, url: string, reason?: string): string {
  const { server, database } = describeUrl(url)
  return [
    `The migration ${migration} failed on the database "${database}" at ${server}.`,
    reason === undefined ? 'What the database said is in the column "logs" of _prisma_migrations.' : `The database said: ${reason}`,
    'A migration runs as one transaction, so none of it was kept unless its SQL commits by itself.',
    `Put right what was wrong, then have it run again: npx prisma migrate resolve --rolled-back ${migration}`,
    `or, when you completed it by hand: npx prisma migrate resolve --applied ${migration}`
  ].join('\n')
}

function migrationNames (): string[] {
  names ??= existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => existsSync(join(FOLDER, name, FILE))).sort() : []
  return names
}

function migrationsList (): object {
  const lock = join(FOLDER, 'migration_lock.toml')
  return {
    baseDir: FOLDER,
    lockfile: { path: 'migration_lock.toml', content: existsSync(lock) ? readFileSync(lock, 'utf8') : null },
    shadowDbInitScript: '',
    migrationDirectories: migrationNames().map((path) => ({
      path,
      migrationFile: { path: FILE, content: { tag: 'ok', value: readFileSync(join(FOLDER, path, FILE), 'utf8') } }
    }))
  }
}

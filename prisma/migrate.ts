// Migrations without the Prisma CLI, for set-up, tests and the health check.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { explainConnection } from './engine/connection.ts'

const FOLDER = join(import.meta.dirname, 'migrations')
const LOCKFILE = 'migration_lock.toml'
const LEDGER = 'SELECT migration_name, finished_at, rolled_back_at FROM _prisma_migrations'
const UNDEFINED_TABLE = '42P01'

/** A migration could not be applied; the message tells the operator why, and what to do. */
export class MigrationError extends Error {
  override name = 'MigrationError'
}

/** The migrations a database lacks, and those that began and did not end; by name, in order. */
export interface MigrationStatus { pending: string[], failed: string[] }

type Row = Record<string, unknown>

const namesOf = new Map<string, string[]>()

/**
 * Compares prisma/migrations with what the database says of them. Reads only.
 * @param query runs a SELECT and gives its rows
 * @throws what `query` throws, unless it is that there is no table of migrations: then all are pending
 */
export async function migrationStatus (query: (sql: string) => Promise<Row[]>, folder = FOLDER): Promise<MigrationStatus> {
  const rows = await query(LEDGER).catch((error: unknown) => {
    if (isUndefinedTable(error)) return []
    throw error
  })
  const standing = rows.filter(row => row.rolled_back_at === null)
  const failed = standing.filter(row => row.finished_at === null).map(row => String(row.migration_name))
  const known = new Set(standing.map(row => String(row.migration_name)))
  return { pending: migrationNames(folder).filter(name => !known.has(name)), failed: [...new Set(failed)].sort() }
}

/**
 * Applies the pending migrations as `prisma migrate deploy` does, under its advisory
 * lock. Gives the names of those it applied.
 * @throws MigrationError
 */
export async function applyMigrations (url: string, folder = FOLDER): Promise<string[]> {
  // Loaded only when there is something to do: the engine is 3 MB of WebAssembly.
  const [{ openEngine }, { openTarget }] = await Promise.all([import('./engine/engine.ts'), import('./engine/target.ts')])
  const target = openTarget({ url })
  try {
    // First without the engine, which keeps of a connection's error only a part.
    await (await target.connect()).end()
    const engine = await openEngine(target)
    const { appliedMigrationNames } = await engine('applyMigrations', { migrationsList: readMigrations(folder), filters: { externalTables: [], externalEnums: [] } }) as { appliedMigrationNames: string[] }
    return appliedMigrationNames
  } catch (error) {
    throw new MigrationError(explain(error, url), { cause: error })
  } finally {
    await target.close()
  }
}

/** One line for the operator when the error is one of the connection, without credentials; undefined for others. */
export function connectionProblem (error: unknown, url: string): string | undefined {
  return explainConnection(error, url)?.message
}

/** Read once: the health check asks again and again. */
function migrationNames (folder: string): string[] {
  const names = namesOf.get(folder) ?? readdirSync(folder, { withFileTypes: true }).filter(entry => entry.isDirectory()).map(({ name }) => name).sort()
  namesOf.set(folder, names)
  return names
}

/** The migrations in the form that the engine reads. */
function readMigrations (folder: string): object {
  return {
    baseDir: folder,
    lockfile: { path: LOCKFILE, content: readFileSync(join(folder, LOCKFILE), 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: migrationNames(folder).map(path => ({
      path,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: readFileSync(join(folder, path, 'migration.sql'), 'utf8') } }
    }))
  }
}

function explain (error: unknown, url: string): string {
  const { code, message = String(error) } = error as { code?: string, message?: string }
  const name = /`(\d{14}_[^`]*)`|migration_name="([^"]+)"/.exec(message)?.slice(1).find(Boolean)
  const advice = `  Mend the database or the migration, then say which: npx prisma migrate resolve --rolled-back ${name} (it is applied again) or --applied ${name}.`
  if (code === 'P3009') return `The migration ${name} failed before and stopped half-way: no other is applied.\n${advice}`
  if (name !== undefined) {
    const said = /Error querying the database: (.*)/.exec(message)?.[1] ?? message
    return `The migration ${name} failed half-way: ${said}\n${advice}`
  }
  return connectionProblem(error, url) ?? `The migrations could not be applied: ${message}`
}

function isUndefinedTable (error: unknown): boolean {
  const { code, meta } = error as { code?: string, meta?: { driverAdapterError?: { cause?: { originalCode?: string, kind?: string } } } }
  const { originalCode, kind } = meta?.driverAdapterError?.cause ?? {}
  return code === UNDEFINED_TABLE || originalCode === UNDEFINED_TABLE || kind === 'TableDoesNotExist'
}

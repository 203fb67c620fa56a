// The WASM engine with the names of the binary's JSON-RPC methods.
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import { adapterFactory } from './adapter.ts'
import { explainTarget } from './target.ts'
import { EngineFault, guard, loadWasm } from './wasm.ts'
import type { Target } from './target.ts'

/** Runs one method. Rejects with an Error that may have Prisma's `code`, or with an EngineFault. */
export type Engine = (method: string, params: object) => Promise<unknown>

const METHODS = new Set([
  'applyMigrations', 'createMigration', 'dbExecute', 'debugPanic', 'devDiagnostic', 'diagnoseMigrationHistory', 'diff',
  'ensureConnectionValidity', 'evaluateDataLoss', 'introspect', 'introspectSql', 'markMigrationApplied',
  'markMigrationRolledBack', 'reset', 'schemaPush', 'version'
])

/** The engine wants a schema even for what needs none (`db execute`, `migrate deploy`). */
const NO_SCHEMA: [string, string] = ['schema.prisma', 'datasource db {\n  provider = "postgresql"\n}\n']

/**
 * Loads the engine for a target.
 * @param datamodels path and content of the schema files
 */
export async function openEngine (target: Target, datamodels: [string, string][] = []): Promise<Engine> {
  const { SchemaEngine } = await loadWasm()
  let failure: unknown
  const factory = bindMigrationAwareSqlAdapterFactory(adapterFactory(target, (error) => { failure = error }))
  const options = { datamodels: datamodels.length > 0 ? datamodels : [NO_SCHEMA] }
  const run = async <T>(action: () => Promise<T>): Promise<T> => {
    failure = undefined
    try {
      return await guard(action)
    } catch (error) {
      throw failure === undefined ? readable(error) : explainTarget(failure, target)
    }
  }
  const engine = await run(() => SchemaEngine.new(options, () => {}, factory)) as unknown as Record<string, (params: object) => Promise<unknown>>
  let knows = false
  return async (method, params) => {
    const name = method === 'getDatabaseVersion' ? 'version' : method
    if (!METHODS.has(name)) throw new Error(`This schema engine has no method ${method}.`)
    // evaluateDataLoss has no way to a shadow database of its own: it uses what devDiagnostic
    // has kept of its, which are the migrations that were applied at that time.
    if (name === 'evaluateDataLoss' && !knows) await run(async () => await engine.devDiagnostic?.(params))
    const result = await run(async () => await engine[name]?.(params))
    if (name === 'devDiagnostic' || name === 'evaluateDataLoss') knows = true
    if ((result as { appliedMigrationNames?: string[] } | undefined)?.appliedMigrationNames?.length) knows = false
    return result
  }
}

/** Without the engine's trace. A migration that failed is told as the native engine tells it (P3018). */
function readable (error: unknown): Error {
  if (error instanceof EngineFault || !(error instanceof Error)) return error instanceof Error ? error : new Error(String(error))
  const { message, code } = error as Error & { code?: string }
  const reason = message.replace(/\n +0: \w+::[\s\S]*$/, '').replaceAll('external connector error\n', '').replaceAll('Error querying the database: ', '')
  const migration = /\w+::apply_script\s+with migration_name="([^"]*)"/.exec(message)?.[1]
  return migration === undefined
    ? Object.assign(new Error(reason), { code })
    : Object.assign(new Error(`A migration failed to apply. New migrations cannot be applied before the error is recovered from. Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve\n\nMigration name: ${migration}\n\nDatabase error:\n${reason}`), { code: 'P3018', meta: { migration_name: migration, database_error: reason } })
}

// The WASM engine with the names of the binary's JSON-RPC methods.
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import { adapterFactory } from './adapter.ts'
import { guard, loadWasm } from './wasm.ts'
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
  const factory = bindMigrationAwareSqlAdapterFactory(adapterFactory(target))
  const options = { datamodels: datamodels.length > 0 ? datamodels : [NO_SCHEMA] }
  const engine = await guard(() => SchemaEngine.new(options, () => {}, factory))
  const methods = engine as unknown as Record<string, (params: object) => Promise<unknown>>
  return async (method, params) => {
    const name = method === 'getDatabaseVersion' ? 'version' : method
    if (!METHODS.has(name)) throw new Error(`This schema engine has no method ${method}.`)
    return await guard(async () => await methods[name]?.(params))
  }
}

// The WASM engine with the names of the binary's JSON-RPC methods.
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import { adapterFactory } from './adapter.ts'
import { loadEngine, panicMessage } from './wasm.ts'
import type { Target } from './target.ts'

/** Runs one method. Rejects with an Error that may have Prisma's `code`, or `panic: true`. */
export type Engine = (method: string, params: object) => Promise<unknown>

const METHODS = new Set([
  'applyMigrations', 'createMigration', 'dbExecute', 'debugPanic', 'devDiagnostic', 'diagnoseMigrationHistory', 'diff',
  'ensureConnectionValidity', 'evaluateDataLoss', 'introspect', 'introspectSql', 'markMigrationApplied',
  'markMigrationRolledBack', 'reset', 'schemaPush', 'version',
])

/**
 * Loads the engine for a target.
 * @param datamodels path and content of the schema files
 */
export async function openEngine (target: Target, datamodels: [string, string][] = []): Promise<Engine> {
  const { SchemaEngine } = await loadEngine()
  const factory = bindMigrationAwareSqlAdapterFactory(adapterFactory(target))
  const log = (): void => {}
  let engine
  try {
    engine = await SchemaEngine.new({ datamodels }, log, factory)
  } catch (error) {
    throw clean(error)
  }
  const methods = engine as unknown as Record<string, (params: object) => Promise<unknown>>
  return async (method, params) => {
    const name = method === 'getDatabaseVersion' ? 'version' : method
    if (!METHODS.has(name)) throw new Error(`This schema engine has no method ${method}.`)
    try {
      return await methods[name]?.(params)
    } catch (error) {
      throw clean(error)
    }
  }
}

function clean (error: unknown): Error {
  const panic = panicMessage(error)
  if (panic !== undefined) return Object.assign(new Error(panic), { panic: true })
  return error instanceof Error ? error : new Error(String(error))
}

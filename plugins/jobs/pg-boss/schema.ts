// pg-boss's tables: where they are, whether they fit, and the way to install them.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { withClient } from '../client.ts'
import type { JobStorage, Query } from '../driver.ts'

const PLAIN = /^[a-z_][a-z0-9_]*$/
let needed: number | undefined

/** The schema of the jobs of a database: `pgboss`, and for a URL with `?schema=foo` `foo_pgboss`; as SQL and pg-boss spell it. */
export function jobsSchema (url: string): string {
  const own = new URL(url).searchParams.get('schema') ?? 'public'
  const name = own === 'public' ? 'pgboss' : `${own}_pgboss`
  return PLAIN.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}

/** The version of the tables that this release needs. Read from the package's own file: pg-boss itself takes 20 MB of memory. */
export function neededVersion (): number {
  needed ??= (JSON.parse(readFileSync(fileURLToPath(import.meta.resolve('pg-boss/package.json')), 'utf8')) as { pgboss: { schema: number } }).pgboss.schema
  return needed
}

/** How the tables differ from what this release needs: two queries, and no right but SELECT. */
export async function jobsSchemaState (query: Query, schema: string): Promise<'current' | 'missing' | 'old' | 'newer'> {
  const version = await versionOf(query, schema)
  if (version === undefined) return 'missing'
  return version === neededVersion() ? 'current' : version < neededVersion() ? 'old' : 'newer'
}

export const storage: JobStorage = {
  version: () => String(neededVersion()),
  state: async (query, url) => await jobsSchemaState(query, jobsSchema(url)),
  apply: async url => await withClient(url, async client => await apply(queryOf(client), jobsSchema(url))),
  clear: async ({ databaseUrl: url }) => await withClient(url, async client => { await client.query(`DELETE FROM ${jobsSchema(url)}.job`) })
}

async function apply (query: Query, schema: string): Promise<boolean> {
  const version = await versionOf(query, schema)
  if (version !== undefined && version >= neededVersion()) return false
  const { getConstructionPlans, getMigrationPlans } = await import('pg-boss')
  const { transaction, indexes } = steps(version === undefined ? getConstructionPlans(schema) : getMigrationPlans(schema, version))
  try {
    await query(transaction)
  } catch (error) {
    await query('ROLLBACK')
    // Another process was quicker.
    if (await versionOf(query, schema) !== neededVersion()) throw error
    return false
  }
  for (const index of indexes) {
    await query(index).catch(error => { throw new Error(`${(error as Error).message}. The rest is done; run this by hand: ${index}`, { cause: error }) })
  }
  return true
}

/** A plan is a transaction, then indexes that are built beside running services: each by itself, outside a transaction. */
function steps (plan: string): { transaction: string, indexes: string[] } {
  const end = plan.lastIndexOf('COMMIT;') + 'COMMIT;'.length
  return { transaction: plan.slice(0, end), indexes: plan.slice(end).split(/^--.*$/m).map(text => text.trim()).filter(text => text !== '') }
}

async function versionOf (query: Query, schema: string): Promise<number | undefined> {
  const [found] = await query(`SELECT to_regclass('${schema.replaceAll("'", "''")}.version') IS NOT NULL AS present`)
  if (found?.present !== true) return undefined
  const [row] = await query(`SELECT version FROM ${schema}.version`)
  return Number(row?.version ?? 0)
}

/** A connection as what asks it for rows. */
export function queryOf (client: pg.Client): Query {
  return async sql => (await client.query<Record<string, unknown>>(sql)).rows
}

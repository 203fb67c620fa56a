import { Pool } from '../../prisma/mysql/pool.ts'
import { connectionProblem, migrationStatus } from '../../prisma/migrate.ts'
import type { HealthCheck } from '../endpoints/health.ts'

/** For connecting, and for an answer: a connection without one is given up, and the next query opens another. */
const TIMEOUT_MS = 2_000

/** Runs a statement and gives its rows. @throws Error that names the database and has no secrets, when it is away */
export type ProbeQuery = (sql: string) => Promise<Record<string, unknown>[]>

/**
 * What /health/ready asks the database with: one connection of its own. In line for those of the requests, a service
 * that is only busy would look as if it had none, and be taken out of the balancer when it is needed most.
 */
export function createProbe (url: string): { query: ProbeQuery, close: () => Promise<void> } {
  const pool = new Pool(url, { max: 1, acquireTimeoutMs: TIMEOUT_MS, answerTimeoutMs: TIMEOUT_MS })
  return {
    query: async sql => {
      try {
        return await pool.query<Record<string, unknown>[]>(sql)
      } catch (error) {
        const problem = connectionProblem(error, url)
        throw problem === undefined ? error : new Error(problem, { cause: error })
      }
    },
    close: () => pool.end()
  }
}

/** What a service needs of its database: an answer, and its migrations. */
export function databaseChecks (query: ProbeQuery): Record<'database' | 'migrations', HealthCheck> {
  return {
    database: async () => {
      await query('SELECT 1')
      return { ok: true }
    },
    migrations: async () => {
      const { pending, failed } = await migrationStatus(query)
      const detail = [...failed.map(name => `${name} failed half-way`), ...pending.map(name => `${name} is pending`)].join(', ')
      return detail === '' ? { ok: true } : { ok: false, detail: `${detail}: run npm run db:migrate` }
    }
  }
}

import type { Config } from '../config/index.ts'

/** What bounds every statement, by the database's own names; in milliseconds. 0 leaves it to the database. */
export function limitsOf (config: Config): Record<string, number> {
  return {
    lock_timeout: config.DATABASE_LOCK_TIMEOUT,
    // Nobody waits for longer; a worker's jobs have time-outs of their own.
    statement_timeout: config.ROLE === 'worker' ? config.DATABASE_STATEMENT_TIMEOUT : Math.min(config.DATABASE_STATEMENT_TIMEOUT, config.REQUEST_TIMEOUT_MS),
    idle_in_transaction_session_timeout: config.DATABASE_IDLE_TRANSACTION_TIMEOUT
  }
}

/** The URL with limits and search path among its `options`. What it says itself comes last, and so counts. */
export function connectionOf (text: string, limits: Record<string, number>): { connectionString: string, options?: string } {
  const url = new URL(text)
  const { searchParams } = url
  const schema = searchParams.get('schema')
  const own = searchParams.get('options')
  searchParams.delete('options')
  const options = Object.entries({ ...limits, search_path: schema ?? 0 }).flatMap(([name, value]) => value === 0 ? [] : [`-c ${name}=${value}`])
  if (own !== null) options.push(own)
  return { connectionString: own === null ? text : url.href, ...options.length > 0 ? { options: options.join(' ') } : {} }
}

import mariadb from 'mariadb'
import { connectionOf } from './url.ts'

/** What bounds every statement, in milliseconds; 0 leaves it to the server. */
export interface Limits {
  /** For what others have locked. The server counts whole seconds. */
  lock: number
  /** MySQL bounds those that only read, MariaDB all. */
  statement: number
  /** For a transaction that does nothing. MariaDB alone; whole seconds. */
  idleTransaction: number
}

export const NO_LIMITS: Limits = { lock: 0, statement: 0, idleTransaction: 0 }

const CONNECT_MS = 5_000
const KEEP_ALIVE_MS = 10_000

/**
 * How to connect, with the session that this service's SQL is written for: READ COMMITTED, so that each statement sees what
 * is committed (with the default, REPEATABLE READ, one behind a lock would read what was there when the transaction began);
 * times in UTC; double quotes for names; what does not fit refused and not cut.
 */
export function sessionOf (url: string, { lock, statement, idleTransaction }: Limits = NO_LIMITS): mariadb.ConnectionConfig {
  const seconds = (ms: number) => Math.max(1, Math.ceil(ms / 1000))
  const settings = [
    "time_zone = '+00:00'",
    "sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION'",
    ...lock > 0 ? [`innodb_lock_wait_timeout = ${seconds(lock)}`] : []
  ]
  // The first comment is a statement to MariaDB alone, the second to MySQL alone.
  const own = [
    ...statement > 0 ? [`/*M!, max_statement_time = ${statement / 1000} */`, `/*!80000, max_execution_time = ${statement} */`] : [],
    ...idleTransaction > 0 ? [`/*M!, idle_transaction_timeout = ${seconds(idleTransaction)} */`] : []
  ]
  return {
    ...connectionOf(url),
    connectTimeout: CONNECT_MS,
    keepAliveDelay: KEEP_ALIVE_MS,
    collation: 'UTF8MB4_BIN',
    // An UPDATE counts the rows that it found, as PostgreSQL does, changed or not.
    foundRows: true,
    // Statements of a connection that are kept: each has a place in the server, too (max_prepared_stmt_count).
    prepareCacheLength: 100,
    initSql: ['SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED', `SET SESSION ${settings.join(', ')} ${own.join(' ')}`]
  }
}

/**
 * Opens a connection with that session. The driver would run `initSql` itself, but what breaks meanwhile is there a rejection
 * that nobody can handle, too, which ends the process (3.4.5). One that breaks later is found by who uses it.
 */
export async function openSession ({ initSql = [], ...config }: mariadb.ConnectionConfig): Promise<mariadb.Connection> {
  const connection = await mariadb.createConnection(config)
  connection.on('error', () => {})
  const late = setTimeout(() => connection.destroy(), CONNECT_MS)
  try {
    for (const sql of [initSql].flat()) await connection.query(sql)
    return connection
  } catch (error) {
    connection.destroy()
    throw error
  } finally {
    clearTimeout(late)
  }
}

/**
 * Limits the statements of a transaction to so many milliseconds; UNLIMITED puts back what was. (A prepared statement has no
 * variables in what only one of the servers reads: hence one text.)
 */
export function limitFor (ms: number): string {
  const at = Math.max(1, Math.floor(ms))
  const least = (name: string, value: number) => `${name} = IF(@@${name} > 0, LEAST(@@${name}, ${value}), ${value})`
  return `SET @keel_lock = @@innodb_lock_wait_timeout /*M!, @keel_statement = @@max_statement_time */ /*!80000, @keel_statement = @@max_execution_time */,
    innodb_lock_wait_timeout = LEAST(@@innodb_lock_wait_timeout, ${Math.ceil(at / 1000)}) /*M!, ${least('max_statement_time', at / 1000)} */ /*!80000, ${least('max_execution_time', at)} */`
}

/** Behind a transaction in which `limitFor` was said. */
export const UNLIMITED = 'SET innodb_lock_wait_timeout = @keel_lock /*M!, max_statement_time = @keel_statement */ /*!80000, max_execution_time = @keel_statement */'

/** Whether a statement is one of `limitFor`. */
export function limits (sql: string): boolean {
  return sql.startsWith('SET @keel_lock')
}

import type { Limits } from '../../prisma/mysql/session.ts'
import type { Config } from '../config/index.ts'

/** How much longer than the database's own limit an answer may take: after it the connection is dead. */
const ANSWER_MS = 2_000

/** What bounds every statement, in milliseconds. 0 leaves it to the database. */
export function limitsOf (config: Config): Limits {
  return {
    lock: config.DATABASE_LOCK_TIMEOUT,
    // Nobody waits for longer; a worker's jobs have time-outs of their own.
    statement: config.ROLE === 'worker' ? config.DATABASE_STATEMENT_TIMEOUT : Math.min(config.DATABASE_STATEMENT_TIMEOUT, config.REQUEST_TIMEOUT_MS),
    idleTransaction: config.DATABASE_IDLE_TRANSACTION_TIMEOUT
  }
}

/**
 * How long an answer may take, in milliseconds; 0: for ever. What finds out that a connection is dead though nobody has closed
 * it (a host without power, a firewall that forgot it): statements that MySQL does not end wait for locks at the longest.
 */
export function answerMsOf ({ statement, lock }: Limits): number {
  return statement === 0 ? 0 : Math.max(statement, lock) + ANSWER_MS
}

import type { Socket } from 'node:net'
import type pg from 'pg'
import type { Config } from '../config/index.ts'

/** How much longer than the database's own limit an answer may take: after it the connection is dead. */
const ANSWER_MS = 2_000
/** Has the operating system ask whether the other side is there. */
export const KEEP_ALIVE: pg.ClientConfig = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 }
const NO_ANSWER = 'Query read timeout'

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

/**
 * What finds out that a connection is dead though nobody has closed it (a host without power, a firewall that forgot
 * it): the operating system asks on idle ones, and a statement has an end on this side, too, where the database has one.
 */
export function patienceOf (limits: Record<string, number>, url: string): pg.ClientConfig {
  const limit = limits.statement_timeout ?? 0
  // The URL may allow more than the settings.
  const isKnown = limit > 0 && !new URL(url).searchParams.toString().includes('statement_timeout')
  return { ...KEEP_ALIVE, ...isKnown ? { query_timeout: limit + ANSWER_MS } : {} }
}

/**
 * Has a pool close a connection whose statement got no answer: to one that was taken for a transaction pg reports it,
 * and would hand it out again. (What the pool itself runs it drops itself.) What the operating system says of a
 * connection (EPIPE, EHOSTUNREACH, EAI_AGAIN, …) becomes a ConnectionError by name: Prisma's adapter knows four such codes,
 * and passes on all others as they are.
 */
export function heedFailures (pool: pg.Pool): void {
  heed(pool, 'connect', nameFailure)
  pool.on('connect', client => {
    const { connection: { stream } } = client as unknown as { connection: { stream: Socket } }
    client.on('error', () => {})
    heed(client, 'query', error => {
      if (error.message === NO_ANSWER) stream.destroy()
      nameFailure(error)
    })
  })
}

function nameFailure (error: Error): void {
  if ('syscall' in error) error.name = 'ConnectionError'
}

/** Shows what a method's promise is rejected with, before its caller sees it. */
function heed<Name extends string> (on: { [name in Name]: unknown }, method: Name, see: (error: Error) => void): void {
  const original = (on[method] as (...args: unknown[]) => unknown).bind(on)
  Object.assign(on, {
    [method]: (...args: unknown[]) => {
      const result = original(...args)
      if (result instanceof Promise) result.catch(see)
      return result
    }
  })
}

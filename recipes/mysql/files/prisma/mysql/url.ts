// What a DATABASE_URL of MySQL or MariaDB says: `mysql://user:password@host:3306/database`.
import { readFileSync } from 'node:fs'
import type mariadb from 'mariadb'

/** One line without secrets, and Prisma's code for it. */
export interface ConnectionProblem { code: string, message: string }

const FORM = 'expected mysql://user:password@host:3306/database, with special characters in the password percent-encoded'
/** `ssl=true`: encrypted, the server's certificate checked; `sslca=FILE` by this authority; `socketPath=FILE`: a Unix socket. */
const PARAMETERS = new Set(['ssl', 'sslca', 'socketPath'])

/** Host and port, or the socket, and the database of a URL; no credentials. */
export function describeUrl (url: string): { server: string, database: string, user: string } {
  const { hostname, port, pathname, username, searchParams } = new URL(url)
  return {
    server: searchParams.get('socketPath') ?? `${decodeURIComponent(hostname) || 'localhost'}:${port || '3306'}`,
    database: decodeURIComponent(pathname.slice(1)),
    user: decodeURIComponent(username) || 'root'
  }
}

/** The problem of a URL that can't be one of MySQL or MariaDB; undefined when it can. */
export function urlProblem (url: string): ConnectionProblem | undefined {
  try {
    const { protocol, searchParams } = new URL(url)
    const unknown = [...searchParams.keys()].filter(name => !PARAMETERS.has(name))
    if (unknown.length > 0) return { code: 'P1013', message: `The database URL has parameters that mean nothing here: ${unknown.join(', ')}. There are ${[...PARAMETERS].join(', ')}.` }
    if (/^(mysql|mariadb):$/.test(protocol) && describeUrl(url).database !== '') return undefined
  } catch {}
  return { code: 'P1013', message: `The database URL is malformed: ${FORM}.` }
}

/** How to connect. @throws Error for a URL that is none, and for a file that can't be read */
export function connectionOf (url: string): mariadb.ConnectionConfig {
  const problem = urlProblem(url)
  if (problem) throw new Error(problem.message)
  const { hostname, port, username, password, searchParams } = new URL(url)
  const authority = searchParams.get('sslca')
  const socketPath = searchParams.get('socketPath')
  return {
    host: decodeURIComponent(hostname).replace(/^\[|\]$/g, '') || 'localhost',
    port: Number(port || 3306),
    user: decodeURIComponent(username) || 'root',
    password: decodeURIComponent(password),
    database: describeUrl(url).database,
    ...socketPath === null ? {} : { socketPath },
    ...authority === null ? searchParams.get('ssl') === 'true' ? { ssl: true } : {} : { ssl: { ca: readFileSync(authority, 'utf8') } }
  }
}

interface Failure { errno?: unknown, code?: unknown, message?: unknown, sqlMessage?: unknown }

/**
 * Explains why a connection failed or broke.
 * @param error what the driver, Prisma or an AggregateError of either says
 * @returns undefined when the error is none of the connection
 */
export function explainConnection (error: unknown, url: string): ConnectionProblem | undefined {
  const malformed = urlProblem(url)
  if (malformed) return malformed
  const { server, database, user } = describeUrl(url)
  for (const { errno, code } of chain(error)) {
    const problem = explain(Number(errno), String(code))
    if (problem) return problem
  }
  return undefined

  function explain (errno: number, code: string): ConnectionProblem | undefined {
    const away = (why: string) => ({ code: 'P1001', message: `Can't reach the database server at ${server}: ${why}.` })
    if (code === 'ECONNREFUSED') return away('nothing listens there')
    if (code === 'ENOENT') return away('there is no such socket')
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return away('the host name is unknown')
    if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return away('there is no route to it')
    if (code === 'EACCES') return away('this user may not open its socket')
    if (code === 'ETIMEDOUT' || NO_ANSWER.has(errno)) return away('it doesn\'t answer')
    if (code === 'ECONNRESET' || code === 'EPIPE' || CLOSED.has(errno)) return { code: 'P1017', message: `The database server at ${server} closed the connection.` }
    if (errno === 1045 || errno === 1698) return { code: 'P1000', message: `The database server at ${server} refused the password of user "${user}".` }
    if (errno === 1044 || errno === 1142) return { code: 'P1010', message: `User "${user}" may not do this on database "${database}" at ${server}.` }
    if (errno === 1049) return { code: 'P1003', message: `The database "${database}" does not exist at ${server}.` }
    if (errno === 1040 || errno === 1203) return { code: 'P2037', message: `The database server at ${server} has no free connection.` }
    if (errno === 1130) return { code: 'P1010', message: `The database server at ${server} takes no connections from this host.` }
    if (TLS.has(errno) || code.startsWith('ERR_TLS') || code.includes('CERT')) return { code: 'P1011', message: `No encrypted connection to the database server at ${server} can be had.` }
    return undefined
  }
}

/** The driver's own numbers (45xxx) and the server's: https://mariadb.com/kb/en/mariadb-error-codes/ */
const NO_ANSWER = new Set([45012, 45026, 45028, 45039, 45042])
const CLOSED = new Set([1053, 1077, 1079, 1080, 1152, 1159, 1161, 1184, 1927, 2006, 2013, 45001, 45004, 45009, 45013, 45019, 45027, 45035, 45037])
const TLS = new Set([45023, 45056, 45057, 45059, 45062])

/** An error and what caused it. Several addresses of a host: an AggregateError. Prisma: a cause that has the number as a text. */
function chain (error: unknown): Failure[] {
  const found: Failure[] = []
  for (let next = error; typeof next === 'object' && next !== null && found.length < 8;) {
    const { errors, cause, meta, originalCode } = next as { errors?: unknown[], cause?: unknown, meta?: { driverAdapterError?: unknown }, originalCode?: unknown }
    found.push(originalCode === undefined ? next : { errno: originalCode })
    next = meta?.driverAdapterError ?? (Array.isArray(errors) && errors.length > 0 ? errors[0] : cause)
  }
  return found
}

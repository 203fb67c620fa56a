// What goes wrong on the way to a database, in the words of an operator.

/** One line without secrets, and Prisma's code for it. */
export interface ConnectionProblem { code: string, message: string }

/** What pg, Node.js and OpenSSL say of an encrypted connection that can't be had. */
const TLS = /^(?:The server does not support SSL|There was an error establishing an SSL|self[- ]signed certificate|unable to (?:verify|get) .*certificate|certificate (?:has expired|is not yet valid)|Hostname\/IP does not match certificate)|:SSL routines:/

interface Failure { code?: unknown, message?: unknown, errors?: unknown }

/** Host and port, or the socket's folder, and the database of a URL; no credentials. */
export function describeUrl (url: string): { server: string, database: string, user: string } {
  const { hostname, port, pathname, username, searchParams } = new URL(url)
  const host = decodeURIComponent(hostname) || searchParams.get('host') || 'localhost'
  const user = decodeURIComponent(username) || 'postgres'
  return {
    server: host.startsWith('/') ? host : `${host}:${port || searchParams.get('port') || '5432'}`,
    database: decodeURIComponent(pathname.slice(1)) || user,
    user
  }
}

/** The problem of a URL that can't be one of PostgreSQL; undefined when it can. */
export function urlProblem (url: string): ConnectionProblem | undefined {
  if (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) {
    try {
      describeUrl(url)
      return undefined
    } catch {}
  }
  return { code: 'P1013', message: 'The database URL is malformed: expected postgresql://user:password@host:5432/database, with special characters in the password percent-encoded.' }
}

/**
 * Explains why a connection failed or broke.
 * @param error what `pg` threw
 * @returns undefined when the error is none of the connection
 */
export function explainConnection (error: unknown, url: string): ConnectionProblem | undefined {
  const malformed = urlProblem(url)
  if (malformed) return malformed
  const failure = innermost(error)
  const code = typeof failure.code === 'string' ? failure.code : ''
  const text = typeof failure.message === 'string' ? failure.message : ''
  const { server, database, user } = describeUrl(url)
  switch (code) {
    case 'ECONNREFUSED': return { code: 'P1001', message: `Can't reach the database server at ${server}: nothing listens there.` }
    case 'ENOENT': return { code: 'P1001', message: `Can't reach the database server at ${server}: there is no such socket.` }
    case 'ENOTFOUND':
    case 'EAI_AGAIN': return { code: 'P1001', message: `Can't reach the database server at ${server}: the host name is unknown.` }
    case 'EHOSTUNREACH':
    case 'ENETUNREACH': return { code: 'P1001', message: `Can't reach the database server at ${server}: there is no route to it.` }
    case 'ETIMEDOUT': return { code: 'P1001', message: `Can't reach the database server at ${server}: it doesn't answer.` }
    case 'EACCES': return { code: 'P1001', message: `Can't reach the database server at ${server}: this user may not open its socket.` }
    case 'ECONNRESET':
    case 'EPIPE':
    case '57P01': return { code: 'P1017', message: `The database server at ${server} closed the connection.` }
    case '28P01': return { code: 'P1000', message: `The database server at ${server} refused the password of user "${user}".` }
    case '28000': return { code: 'P1010', message: `The database server at ${server} doesn't let user "${user}" in (role or pg_hba.conf).` }
    case '42501': return { code: 'P1010', message: `User "${user}" may not do this on database "${database}" at ${server}: ${text}.` }
    case '3D000': return { code: 'P1003', message: `The database "${database}" does not exist at ${server}.` }
    case '53300': return { code: 'P2037', message: `The database server at ${server} has no free connection.` }
    case '57P03': return { code: 'P1001', message: `The database server at ${server} is starting up or shutting down.` }
  }
  if (/^(Connection terminated|timeout expired|timeout exceeded|Query read timeout)/.test(text)) {
    return text.startsWith('Connection terminated') && !text.includes('timeout')
      ? { code: 'P1017', message: `The database server at ${server} closed the connection.` }
      : { code: 'P1001', message: `Can't reach the database server at ${server}: it doesn't answer.` }
  }
  if (TLS.test(text) || code.startsWith('ERR_TLS') || code.includes('CERT')) {
    return { code: 'P1011', message: `No encrypted connection to the database server at ${server}: ${text}.` }
  }
  if (/SASL|password must be a string/.test(text)) {
    return { code: 'P1000', message: `The database server at ${server} asks for a password of user "${user}".` }
  }
}

// Several addresses of a host: an AggregateError. Prisma and driver adapters: a cause.
function innermost (error: unknown): Failure {
  let failure = (typeof error === 'object' && error !== null ? error : { message: String(error) }) as Failure & { cause?: unknown, originalCode?: unknown, originalMessage?: unknown }
  for (let depth = 0; depth < 5; depth++) {
    const inner = Array.isArray(failure.errors) && failure.errors.length > 0 ? failure.errors[0] as unknown : failure.cause
    if (typeof inner !== 'object' || inner === null) break
    failure = inner as typeof failure
  }
  return { code: failure.originalCode ?? failure.code, message: failure.originalMessage ?? failure.message }
}

// PostgreSQL's errors as the schema engine wants to be told of them.
import type { Error as DriverError } from '@prisma/driver-adapter-utils'
import { describeUrl, explainConnection, urlProblem } from './connection.ts'

interface PgError { code?: string, severity?: string, message: string, detail?: string, column?: string, hint?: string }

/** True when the error is one of the connection, not of a statement. */
export function isLost (error: unknown, url: string): boolean {
  return (error as PgError).severity !== 'ERROR' && explainConnection(error, url) !== undefined
}

/**
 * The engine knows some errors by kind (a missing table of migrations, say).
 * @param options.verbatim keep the database's words: the statement is the user's
 */
export function toDriverError (error: unknown, url: string, { verbatim = false }: { verbatim?: boolean } = {}): DriverError {
  const failure = error as PgError
  const mapped = verbatim || urlProblem(url) ? undefined : byKind(failure, url)
  return {
    originalCode: failure.code,
    originalMessage: failure.message,
    ...mapped ?? {
      kind: 'postgres',
      code: failure.code ?? 'N/A',
      severity: failure.severity ?? 'ERROR',
      message: isLost(error, url) ? explainConnection(error, url)?.message ?? failure.message : failure.message,
      detail: failure.detail,
      column: failure.column,
      hint: failure.hint
    }
  }
}

function byKind ({ code, message }: PgError, url: string): DriverError | undefined {
  const { server, database, user } = describeUrl(url)
  const quoted = /"([^"]*)"/.exec(message)?.[1]
  switch (code) {
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'ENOENT': return { kind: 'DatabaseNotReachable', host: server.replace(/:\d+$/, ''), port: Number(/:(\d+)$/.exec(server)?.[1]) || undefined }
    case 'ECONNRESET': return { kind: 'ConnectionClosed' }
    case 'ETIMEDOUT': return { kind: 'SocketTimeout' }
    case '28P01': return { kind: 'AuthenticationFailed', user }
    case '28000': return { kind: 'DatabaseAccessDenied', db: database }
    case '3D000': return { kind: 'DatabaseDoesNotExist', db: database }
    case '42P01': return { kind: 'TableDoesNotExist', table: quoted }
    case '42P04': return { kind: 'DatabaseAlreadyExists', db: quoted }
    case '53300': return { kind: 'TooManyConnections', cause: message }
  }
}

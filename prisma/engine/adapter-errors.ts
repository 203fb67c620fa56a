// PostgreSQL's errors as the schema engine wants to be told of them.
import type { Error as DriverError } from '@prisma/driver-adapter-utils'
import { explainConnection } from './connection.ts'

interface PgError { code?: string, severity?: string, message: string, detail?: string, column?: string, hint?: string, position?: string }

/**
 * An error of the engine's own statement. It knows a few by kind: that its table
 * of migrations is missing is how it learns of a new database.
 */
export function toDriverError (error: unknown, url: string): DriverError {
  const failure = error as PgError
  const table = failure.code === '42P01' ? /"([^"]*)"/.exec(failure.message)?.[1] : undefined
  return table === undefined
    ? verbatim(failure, isStatements(failure) ? failure.message : explainConnection(error, url)?.message ?? failure.message)
    : { originalCode: failure.code, originalMessage: failure.message, kind: 'TableDoesNotExist', table }
}

/** An error of a script of the user's: the database's words, and the place in the script. */
export function toScriptError (error: unknown, url: string, script: string): DriverError {
  const failure = error as PgError
  if (!isStatements(failure)) return toDriverError(error, url)
  const line = failure.position === undefined ? '' : `, line ${script.slice(0, Number(failure.position)).split('\n').length}`
  return verbatim(failure, `${failure.message} (SQLSTATE ${failure.code}${line})`)
}

function verbatim ({ code = 'N/A', severity = 'ERROR', message, detail, column, hint }: PgError, text: string): DriverError {
  return { originalCode: code, originalMessage: message, kind: 'postgres', code, severity, message: text, detail, column, hint }
}

/** False for what ends the connection (FATAL, or an error of the socket). */
function isStatements ({ severity }: PgError): boolean {
  return severity === 'ERROR'
}

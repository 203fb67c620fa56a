import { kitProblem } from './catalogue.ts'
import type { ProblemInput } from './problem.ts'

/** What Prisma's driver adapters say of a failure, whichever query met it. */
interface Cause { kind?: string, originalCode?: string }
interface DatabaseError extends Error { code?: string, meta?: { driverAdapterError?: { cause?: Cause } }, cause?: Cause }

const UNAVAILABLE: ProblemInput = kitProblem('UNAVAILABLE', 'The database cannot be reached.')
const TOO_SLOW: ProblemInput = kitProblem('UNAVAILABLE', 'The database did not do this in time.')
const READ_ONLY: ProblemInput = kitProblem('UNAVAILABLE', 'The database takes no changes now.')
const CONTENTION: ProblemInput = { ...kitProblem('CONTENTION'), headers: { 'retry-after': '1' } }
const EXISTS: ProblemInput = kitProblem('CONFLICT', 'The resource exists already.')
const DEPENDS: ProblemInput = kitProblem('CONFLICT', 'A related resource is missing, or depends on this one.')

/** By Prisma's code: https://www.prisma.io/docs/orm/reference/error-reference */
const byCode: Record<string, ProblemInput> = {
  P1001: UNAVAILABLE,
  P1002: UNAVAILABLE,
  P1008: UNAVAILABLE,
  P1017: UNAVAILABLE,
  P2024: UNAVAILABLE,
  P2037: UNAVAILABLE,
  P2002: EXISTS,
  P2003: DEPENDS,
  P2014: DEPENDS,
  P2025: kitProblem('NOT_FOUND'),
  P2028: TOO_SLOW,
  P2034: CONTENTION
}

/** By what the adapter found: raw queries have P2010 for everything. */
const byKind: Record<string, ProblemInput> = {
  DatabaseNotReachable: UNAVAILABLE,
  DatabaseDoesNotExist: UNAVAILABLE,
  DatabaseAccessDenied: UNAVAILABLE,
  AuthenticationFailed: UNAVAILABLE,
  ConnectionClosed: UNAVAILABLE,
  TlsConnectionError: UNAVAILABLE,
  TooManyConnections: UNAVAILABLE,
  SocketTimeout: UNAVAILABLE,
  TransactionWriteConflict: CONTENTION,
  UniqueConstraintViolation: EXISTS,
  ForeignKeyConstraintViolation: DEPENDS,
  RestrictViolation: DEPENDS
}

/** What the operating system says (EPIPE, EHOSTUNREACH, EAI_AGAIN, …), where an adapter passes it on. Node's own codes (ERR_…) are faults. */
const SYSTEM_CODE = /^E(?!RR_)[A-Z]/

/** By SQLSTATE: lock_timeout, statement_timeout, a server that has become a standby. */
const byState: Record<string, ProblemInput> = {
  '55P03': CONTENTION,
  57014: TOO_SLOW,
  25006: READ_ONLY
}

/** SQLSTATEs that mean the server is not there for us: connection exceptions, resources, shutdown and idle time-outs. */
const UNAVAILABLE_STATE = /^(08|53|57P0|25P03)/
/** What the pg driver says, in plain Errors, of connections that end or cannot be had. */
const UNAVAILABLE_MESSAGE = /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/

/** The problem of an error that the database layer throws and no service has translated; undefined for other errors. */
export function databaseProblem (error: unknown): ProblemInput | undefined {
  if (!(error instanceof Error)) return undefined
  // What the operating system said of a connection, as the pool names it.
  if (error.name === 'ConnectionError' || UNAVAILABLE_MESSAGE.test(error.message)) return UNAVAILABLE
  if (!/^(PrismaClient\w+Error|DriverAdapterError)$/.test(error.name)) return undefined
  const { code = '', meta, cause } = error as DatabaseError
  const { kind = '', originalCode = '' } = meta?.driverAdapterError?.cause ?? cause ?? {}
  if (SYSTEM_CODE.test(code) || UNAVAILABLE_STATE.test(originalCode)) return UNAVAILABLE
  return byState[originalCode] ?? byCode[code] ?? byKind[kind] ?? (error.name === 'PrismaClientInitializationError' ? UNAVAILABLE : undefined)
}

/** Whether the database is not there, or takes no changes: no fault of who asked. What it did not do in time may be one. */
export function isDatabaseAway (error: unknown): boolean {
  const problem = databaseProblem(error)
  return problem === UNAVAILABLE || problem === READ_ONLY
}

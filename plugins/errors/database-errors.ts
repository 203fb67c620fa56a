import { statusProblem } from './catalogue.ts'
import type { ProblemInput } from './problem.ts'

interface DatabaseError { name: string, code?: string, errorCode?: string, meta?: { driverAdapterError?: { cause?: { kind?: string, originalCode?: string } } } }

const UNAVAILABLE_CODES = new Set([
  'P1000', 'P1001', 'P1002', 'P1003', 'P1008', 'P1010', 'P1011', 'P1017', 'P2024', 'P2037',
  'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'ETIMEDOUT'
])
/** SQLSTATE classes and codes: connection exception, too many connections, shutdown, cannot connect now. */
const UNAVAILABLE_STATES = /^(08|53|57P0)/

/**
 * The problem of an error that Prisma reports and no service has translated; undefined for other errors.
 * Codes: https://www.prisma.io/docs/orm/reference/error-reference
 */
export function databaseProblem (error: unknown): ProblemInput | undefined {
  if (!isDatabaseError(error)) return undefined
  const code = error.code ?? error.errorCode ?? ''
  const cause = error.meta?.driverAdapterError?.cause
  if (code === 'P2002') return { status: 409, code: 'CONFLICT', title: 'The resource exists already' }
  if (code === 'P2003' || code === 'P2014') return { status: 409, code: 'CONFLICT', title: 'Other resources depend on this one' }
  if (code === 'P2025') return statusProblem(404)
  if (code === 'P2034') return { status: 503, code: 'CONTENTION', title: 'Too many changes at once', headers: { 'retry-after': '1' } }
  if (UNAVAILABLE_CODES.has(code) || UNAVAILABLE_STATES.test(cause?.originalCode ?? '') || error.name === 'PrismaClientInitializationError') {
    return { ...statusProblem(503, 'The database cannot be reached.'), headers: { 'retry-after': '2' } }
  }
  return undefined
}

function isDatabaseError (error: unknown): error is DatabaseError {
  return error instanceof Error && (/^PrismaClient\w+Error$/.test(error.name) || error.name === 'DriverAdapterError')
}

import type { FastifyError, FastifySchemaValidationError } from 'fastify'
import { kitProblems, type KitCode } from './kinds.ts'
import type { ProblemBody, ProblemInput } from './problem.ts'

/** The kit's problem for each status that the framework or a plugin may ask for. */
const byStatus: Record<number, KitCode> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  408: 'REQUEST_TIMEOUT',
  409: 'CONFLICT',
  412: 'PRECONDITION_FAILED',
  413: 'PAYLOAD_TOO_LARGE',
  414: 'URI_TOO_LONG',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  422: 'UNPROCESSABLE',
  428: 'PRECONDITION_REQUIRED',
  429: 'RATE_LIMITED',
  431: 'HEADERS_TOO_LARGE',
  500: 'INTERNAL_ERROR',
  503: 'UNAVAILABLE'
}

/** Codes of Fastify's own errors that deserve a name of their own. */
const byFastifyCode: Record<string, KitCode> = {
  FST_ERR_CTP_EMPTY_JSON_BODY: 'MALFORMED_BODY',
  FST_ERR_CTP_INVALID_JSON_BODY: 'MALFORMED_BODY',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'MALFORMED_BODY'
}

/** A problem of the kit, by its code. */
export function kitProblem (code: KitCode, detail?: string): ProblemInput {
  const { status, title } = kitProblems[code]
  return { status, code, title, detail }
}

/** The problem of a status alone, for example 404. */
export function statusProblem (status: number, detail?: string): ProblemInput {
  const code = byStatus[status] ?? (status >= 500 ? 'INTERNAL_ERROR' : 'BAD_REQUEST')
  return { ...kitProblem(code, detail), status }
}

/** The problem of an error with a 4xx status that the framework or a plugin threw. */
export function frameworkProblem (error: FastifyError, status: number): ProblemInput {
  const named = byFastifyCode[error.code] ?? ownCode(error.code)
  const detail = sentence(error.message)
  return named ? kitProblem(named, detail) : statusProblem(status, detail)
}

/** A plugin may throw one of the kit's codes by its name. */
function ownCode (code: string): KitCode | undefined {
  return Object.hasOwn(kitProblems, code ?? '') ? code as KitCode : undefined
}

/** The problem of input that does not fit its schema. */
export function validationProblem (error: FastifyError): ProblemInput {
  const context = error.validationContext ?? 'body'
  const part = context === 'querystring' ? 'query' : context
  const errors = (error.validation ?? []).map(issue => pointTo(part, issue))
  const detail = errors.length === 1 && errors[0] ? `${errors[0].pointer} ${errors[0].detail}.` : `${errors.length} places of the request do not fit its schema.`
  return { ...kitProblem('VALIDATION_FAILED', detail), errors }
}

function pointTo (part: string, { instancePath, keyword, params, message }: FastifySchemaValidationError): NonNullable<ProblemBody['errors']>[number] {
  const at = (name: unknown) => `#/${part}${instancePath}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`
  if (keyword === 'required') return { pointer: at(params.missingProperty), detail: 'is required' }
  if (keyword === 'additionalProperties') return { pointer: at(params.additionalProperty), detail: 'is not a known field' }
  if (keyword === 'enum') return { pointer: `#/${part}${instancePath}`, detail: `must be one of ${(params.allowedValues as unknown[]).join(', ')}` }
  return { pointer: `#/${part}${instancePath}`, detail: message ?? 'is not valid' }
}

function sentence (message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`
}

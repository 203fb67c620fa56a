import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifySchemaValidationError } from 'fastify'
import type { ProblemBody, ProblemInput } from './problem.ts'

/** Title and code of the problems that the kit itself reports, by status. */
const byStatus: Record<number, [code: string, title: string]> = {
  400: ['BAD_REQUEST', 'The request is malformed'],
  401: ['UNAUTHORIZED', 'Authentication is required'],
  403: ['FORBIDDEN', 'Not allowed'],
  404: ['NOT_FOUND', 'Not found'],
  405: ['METHOD_NOT_ALLOWED', 'The resource does not support this method'],
  408: ['REQUEST_TIMEOUT', 'The request did not arrive in time'],
  413: ['PAYLOAD_TOO_LARGE', 'The request body is too large'],
  414: ['URI_TOO_LONG', 'The URL is too long'],
  415: ['UNSUPPORTED_MEDIA_TYPE', 'The media type of the request body is not supported'],
  409: ['CONFLICT', 'The request conflicts with the state of the resource'],
  412: ['PRECONDITION_FAILED', 'The resource has changed'],
  422: ['UNPROCESSABLE', 'The request cannot be carried out as it stands'],
  428: ['PRECONDITION_REQUIRED', 'The request must be conditional'],
  429: ['RATE_LIMITED', 'Too many requests'],
  431: ['HEADERS_TOO_LARGE', 'The request headers are too large'],
  500: ['INTERNAL_ERROR', 'The service failed'],
  503: ['UNAVAILABLE', 'The service is not available']
}

/** Codes of Fastify's own errors that deserve a name of their own. */
const byFastifyCode: Record<string, [code: string, title: string]> = {
  FST_ERR_CTP_EMPTY_JSON_BODY: ['MALFORMED_BODY', 'The request body is malformed'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['MALFORMED_BODY', 'The request body is malformed'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['MALFORMED_BODY', 'The request body is malformed']
}

/** The problem of a status alone, for example 404. */
export function statusProblem (status: number, detail?: string): ProblemInput {
  const [code, title] = byStatus[status] ?? byStatus[status >= 500 ? 500 : 400] ?? ['ERROR', STATUS_CODES[status] ?? 'Error']
  return { status, code, title, detail }
}

/** The problem of an error with a 4xx status that the framework or a plugin threw. */
export function frameworkProblem (error: FastifyError, status: number): ProblemInput {
  const named = byFastifyCode[error.code]
  return { ...statusProblem(status, sentence(error.message)), ...named ? { code: named[0], title: named[1] } : {} }
}

/** The problem of input that does not fit its schema. */
export function validationProblem (error: FastifyError): ProblemInput {
  const context = error.validationContext ?? 'body'
  const part = context === 'querystring' ? 'query' : context
  const errors = (error.validation ?? []).map(issue => pointTo(part, issue))
  const detail = errors.length === 1 && errors[0] ? `${errors[0].pointer} ${errors[0].detail}.` : `${errors.length} places of the request do not fit its schema.`
  return { status: 400, code: 'VALIDATION_FAILED', title: 'The request does not fit its schema', detail, errors }
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

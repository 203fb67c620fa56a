import { Type, type Static } from 'typebox'
import { problemType } from './kinds.ts'

/** The media type of every error body. https://www.rfc-editor.org/rfc/rfc9457#section-3 */
export const PROBLEM_TYPE = 'application/problem+json'

const POINTER = '^#/(body|query|params|headers)'
/** Any text of people: what restricts it is its length. */
const TEXT = '^[\\s\\S]*$'

const Issue = Type.Object({
  pointer: Type.String({ maxLength: 1024, pattern: POINTER, description: 'JSON pointer behind #/body, #/query, #/params or #/headers' }),
  detail: Type.String({ maxLength: 1024, pattern: TEXT, description: 'What is wrong there' })
}, { additionalProperties: false })

/** The one shape of every error body (RFC 9457). */
export const Problem = Type.Object({
  type: Type.String({ format: 'uri-reference', maxLength: 256, description: 'The kind of problem: the path of its documentation' }),
  title: Type.String({ maxLength: 256, pattern: TEXT, description: 'The kind of problem, for people' }),
  status: Type.Integer({ minimum: 400, maximum: 599, format: 'int32', description: 'The HTTP status code' }),
  detail: Type.String({ maxLength: 4096, pattern: TEXT, description: 'This occurrence, for people' }),
  instance: Type.String({ maxLength: 256, format: 'uri', description: 'Identifies this occurrence: the request id as a URN' }),
  code: Type.String({ pattern: '^[A-Z][A-Z0-9_]*$', maxLength: 64, description: 'The kind of problem, for programs; stable' }),
  requestId: Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9_.:@/+=-]+$', description: 'The request in the logs of the service' }),
  traceId: Type.Optional(Type.String({ minLength: 32, maxLength: 32, pattern: '^[0-9a-f]{32}$', description: 'The trace that the request belongs to (W3C Trace Context)' })),
  errors: Type.Optional(Type.Array(Issue, { maxItems: 1000, description: 'What is wrong in the input, place by place' }))
}, {
  $id: 'Problem',
  description: 'Problem details, RFC 9457',
  additionalProperties: false,
  examples: [{
    type: '/problems/not-found',
    title: 'Not found',
    status: 404,
    detail: 'There is no such product.',
    instance: 'urn:request:0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11',
    code: 'NOT_FOUND',
    requestId: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'
  }]
})

export type ProblemBody = Static<typeof Problem>

/** A problem before it is tied to a request. `headers` go with the answer. */
export interface ProblemInput {
  status: number
  code: string
  title: string
  detail?: string | undefined
  errors?: ProblemBody['errors']
  headers?: Record<string, string>
}

/** The body of a problem. Without a detail the title serves. */
export function problemBody ({ status, code, title, detail, errors }: ProblemInput, requestId: string, traceId?: string): ProblemBody {
  return {
    type: problemType(code),
    title,
    status,
    detail: clip(detail ?? `${title}.`, 4096),
    instance: `urn:request:${requestId}`,
    code,
    requestId,
    ...traceId === undefined ? {} : { traceId },
    ...errors && errors.length > 0 ? { errors: errors.slice(0, 1000).map(({ pointer, detail }) => ({ pointer: clip(pointer, 1024), detail: clip(detail, 1024) })) } : {}
  }
}

function clip (text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}

/** The reference token of a name in a JSON pointer (RFC 6901, section 3). */
export function pointerToken (name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

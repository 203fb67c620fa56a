import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { PROBLEM_TYPE, pointerToken } from '../../plugins/errors/problem.ts'
import { compiledOnce } from '../../server/compiled.ts'

interface Response { $ref?: string, content?: Record<string, { schema?: object }> }
interface Document { paths: Record<string, Record<string, { responses: Record<string, Response> }>> }

/** The apps of a test file mostly have one and the same document. */
const compiled = compiledOnce<Ajv2020>()

/** What checks against references into a document. */
function compilerOf (document: Document): Ajv2020 {
  return compiled(document, '', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true })
    formats.default(ajv)
    return ajv.addSchema(document, 'openapi.json')
  })
}

/**
 * Holds every response against the OpenAPI document that the service gives out:
 * an undeclared status, media type or body is reported, and a header that the standards ask
 * for and the answer lacks. Register before the app.
 */
export function checkResponses (fastify: FastifyInstance, report: (violation: string) => void): void {
  let document: Document | undefined
  let ajv: Ajv2020

  // On the root, so that it sees the payload before it is compressed.
  fastify.addHook('onSend', async (request, reply, payload) => {
    if (!document) {
      document = fastify.swagger() as unknown as Document
      ajv = compilerOf(document)
    }
    const violation = check(document, request, reply, payload) ?? checkHeaders(reply)
    if (violation) report(`${request.method} ${request.url} → ${reply.statusCode}: ${violation}`)
    return payload
  })

  function check (document: Document, request: FastifyRequest, reply: FastifyReply, payload: unknown): string | undefined {
    const { url, schema } = request.routeOptions
    const hidden = (schema as { hide?: boolean } | undefined)?.hide === true
    const status = reply.statusCode
    if (url === undefined || hidden) return status >= 400 ? checkProblem(reply, payload) : undefined
    const path = url.replaceAll(/:(\w+)/g, '{$1}')
    const method = request.method === 'HEAD' ? 'get' : request.method.toLowerCase()
    const response = document.paths[path]?.[method]?.responses[status]
    if (!response) return 'the status is not declared'
    if (status === 304 || request.method === 'HEAD') return undefined
    const type = String(reply.getHeader('content-type') ?? '').split(';')[0] ?? ''
    if (!response.content) return payload === '' || payload === undefined || payload === null ? undefined : 'the body is not declared'
    // A file of any kind.
    if (response.content['*/*'] && status < 400) return type === '' ? 'no media type' : undefined
    if (!response.content[type]?.schema) return `the media type "${type}" is not declared`
    // It has no end to wait for: the tests of a stream look at its events.
    if (type === 'text/event-stream') return undefined
    const at = ['paths', path, method, 'responses', String(status), 'content', type, 'schema']
    if (type === PROBLEM_TYPE) return checkProblem(reply, payload)
    const value = type.endsWith('json') ? JSON.parse(String(payload)) : payload
    return against(`openapi.json#/${at.map(name => encodeURIComponent(pointerToken(name))).join('/')}`, value)
  }

  function checkHeaders (reply: FastifyReply): string | undefined {
    const { statusCode: status } = reply
    if (status === 201 && !reply.hasHeader('location')) return 'no Location'
    if ((status === 429 || status === 503) && !/^\d+$/.test(String(reply.getHeader('retry-after')))) return 'no Retry-After'
    return undefined
  }

  function checkProblem (reply: FastifyReply, payload: unknown): string | undefined {
    if (reply.getHeader('content-type') !== PROBLEM_TYPE) return `an error of type ${String(reply.getHeader('content-type'))}`
    const problem = JSON.parse(String(payload)) as { code: string }
    if (!fastify.problemKinds.has(problem.code)) return `the code ${problem.code} is not documented`
    return against('openapi.json#/components/schemas/Problem', problem)
  }

  function against (reference: string, value: unknown): string | undefined {
    const validate: ValidateFunction = ajv.getSchema(reference) ?? ajv.compile({ $id: `check:${reference}`, $ref: reference })
    return validate(value) ? undefined : ajv.errorsText(validate.errors)
  }
}

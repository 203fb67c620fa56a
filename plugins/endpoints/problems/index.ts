import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Type, type Static } from 'typebox'
import { problemType } from '../../errors/kinds.ts'
import { PAGE_CSP, problemPage } from './page.ts'

const TEXT = '^[\\s\\S]*$'
const slug = Type.String({ pattern: '^[a-z][a-z0-9-]*$', maxLength: 64, description: 'The code in kebab case, as the end of `type` has it' })

const Kind = Type.Object({
  type: Type.String({ format: 'uri-reference', maxLength: 256, description: 'What problems of this kind have as `type`: the path of this page' }),
  code: Type.String({ pattern: '^[A-Z][A-Z0-9_]*$', maxLength: 64, description: 'What problems of this kind have as `code`' }),
  status: Type.Integer({ minimum: 400, maximum: 599, format: 'int32', description: 'The HTTP status code' }),
  title: Type.String({ maxLength: 256, pattern: TEXT, description: 'The kind of problem, for people' }),
  description: Type.String({ maxLength: 2000, pattern: TEXT, description: 'When it happens and what to do' })
}, {
  $id: 'ProblemKind',
  description: 'The documentation of a kind of problem',
  examples: [{ type: '/problems/not-found', code: 'NOT_FOUND', status: 404, title: 'Not found', description: 'Nothing is at this path. Check the path and the id.' }]
})
type KindBody = Static<typeof Kind>

const html = { 'text/html': { schema: { type: 'string', maxLength: 100_000, pattern: TEXT } } }

/** The documentation that the `type` of every problem points to (RFC 9457, 3.1.1): JSON, or a page for a browser. */
async function problems (fastify: FastifyInstance) {
  fastify.addSchema(Kind)
  const kinds: KindBody[] = [...fastify.problemKinds].map(([code, { status, title, description }]) =>
    ({ type: problemType(code), code, status, title, description: description ?? `${title}.` })).sort((a, b) => a.status - b.status || a.code.localeCompare(b.code))
  const byType = new Map(kinds.map(kind => [kind.type, { kind, page: problemPage([kind]) }]))
  const list = problemPage(kinds)

  fastify.get('/problems', {
    config: { public: true },
    schema: {
      operationId: 'listProblemKinds',
      summary: 'The kinds of problems that this service reports',
      description: 'Each `code` of an error body, when it happens and what to do.',
      tags: ['problems'],
      response: {
        200: {
          description: 'Every kind, by status',
          content: { 'application/json': { schema: Type.Object({ problems: Type.Array(Type.Ref('ProblemKind#'), { maxItems: 500 }) }) }, ...html }
        }
      }
    }
  }, async (request, reply) => answer(request, reply, { problems: kinds }, list))

  fastify.get<{ Params: { code: string } }>('/problems/:code', {
    config: { public: true },
    schema: {
      operationId: 'getProblemKind',
      summary: 'What a kind of problem means',
      description: 'The `type` of an error body is the path of this operation.',
      tags: ['problems'],
      params: Type.Object({ code: slug }),
      response: {
        200: { description: 'The kind of problem', content: { 'application/json': { schema: Type.Ref('ProblemKind#') }, ...html } },
        404: { $ref: 'Problem#' }
      }
    }
  }, async (request, reply) => {
    const known = byType.get(`/problems/${request.params.code}`)
    if (!known) return reply.problem(404, 'This service reports no problem of this kind.')
    return answer(request, reply, known.kind, known.page)
  })
}

function answer (request: FastifyRequest, reply: FastifyReply, json: object, page: string): FastifyReply {
  reply.headers({ 'cache-control': 'public, max-age=300', vary: 'accept' })
  const accept = request.headers.accept ?? '*/*'
  if (quality(accept, 'text/html') <= quality(accept, 'application/json')) return reply.type('application/json').send(json)
  return reply.header('content-security-policy', PAGE_CSP).type('text/html; charset=utf-8').send(page)
}

/** How much an Accept header wants a media type, from 0 to 1 (RFC 9110, 12.5.1). The most specific range counts. */
function quality (accept: string, type: string): number {
  const ranges = new Map(accept.toLowerCase().split(',').map(range => {
    const [name = '', ...parameters] = range.split(';').map(part => part.trim())
    const q = Number(parameters.find(parameter => parameter.startsWith('q='))?.slice(2) ?? 1)
    return [name, q >= 0 && q <= 1 ? q : 0]
  }))
  return ranges.get(type) ?? ranges.get(`${type.split('/', 1)[0]}/*`) ?? ranges.get('*/*') ?? 0
}

export default fp(problems, { name: 'problems', dependencies: ['errors'] })

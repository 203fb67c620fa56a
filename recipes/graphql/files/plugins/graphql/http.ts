import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { GraphQLError, type ExecutionResult } from 'graphql'
import Negotiator from 'negotiator'
import { Type, type Static } from 'typebox'
import type { Call } from './call.ts'
import { Invalid, MAX_DOCUMENT, type Documents } from './documents.ts'
import type { Format } from './problems.ts'

const JSON_TYPE = 'application/json'
/** https://graphql.github.io/graphql-over-http/draft/#sec-application-graphql-response-json */
const RESPONSE_TYPE = 'application/graphql-response+json'
/** In the order that counts where a client has no preference; with the charset that it may ask for. */
const OFFERED = [JSON_TYPE, RESPONSE_TYPE].flatMap(type => [type, `${type};charset=utf-8`])
const TEXT = '^[\\s\\S]*$'
const text = (maxLength: number) => Type.Optional(Type.String({ maxLength, pattern: TEXT }))
const nullable = <T>(type: string, more: object = {}) => Type.Optional(Type.Unsafe<T | null>({ type: [type, 'null'], ...more }))
const closed = { additionalProperties: false }

/** https://graphql.github.io/graphql-over-http/draft/#sec-Request-Parameters; `documentId` is of its appendix on persisted documents. */
export const Body = Type.Object({
  query: text(MAX_DOCUMENT),
  documentId: text(200),
  operationName: nullable<string>('string', { maxLength: 200 }),
  variables: nullable<Record<string, unknown>>('object'),
  extensions: nullable<Record<string, unknown>>('object')
}, closed)

/** The same in a URL, where maps are JSON; a WebSocket may come with a ticket. */
export const Query = Type.Object({ query: text(MAX_DOCUMENT), documentId: text(200), operationName: text(200), variables: text(MAX_DOCUMENT), extensions: text(MAX_DOCUMENT), ticket: text(64) }, closed)

type Asked = Static<typeof Body>

/** What mercurius is asked to run an operation in: the call, what the service adds, and what is checked before it runs. */
export type Context = Call & { operationName: string | undefined, method: 'GET' | 'POST' }

export interface HttpOptions {
  scope: FastifyInstance
  documents: Documents
  format: Format
  /** What resolvers get of a request. */
  contextOf: (request: FastifyRequest) => Call
}

/** GraphQL over HTTP, by the draft of its working group: https://graphql.github.io/graphql-over-http/draft/ */
export function handlers ({ scope, documents, format, contextOf }: HttpOptions) {
  async function answer (asked: Asked, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const call = contextOf(request)
    const type = new Negotiator(request.raw).mediaType(OFFERED)?.split(';')[0] ?? JSON_TYPE
    const { status, result } = await run(asked, call, request)
    reply.header('vary', [reply.getHeader('vary'), 'Accept'].filter(Boolean).join(', '))
    if (status === 405) reply.header('allow', 'POST')
    return reply
      // To clients of before the draft, 200 says that it is an answer of GraphQL.
      .code(type === RESPONSE_TYPE || status === 405 ? status : 200)
      .type(`${type}; charset=utf-8`)
      .serializer(JSON.stringify)
      .send(result)
  }

  async function run (asked: Asked, call: Call, { method }: FastifyRequest): Promise<{ status: number, result: object }> {
    try {
      const operationName = asked.operationName ?? undefined
      const context: Context = Object.assign(call, { operationName, method: method === 'POST' ? 'POST' as const : 'GET' as const })
      const result = await scope.graphql(documents.textOf(asked), context as never, asked.variables ?? {}, operationName) as ExecutionResult
      return { status: 200, result }
    } catch (error) {
      const errors = format(errorsOf(error), call, 'request')
      // No fault of who asked: the service's own way of saying so.
      if (errors.some(({ extensions }) => Number(extensions?.status) >= 500)) throw error
      return { status: Number(errors[0]?.extensions?.status), result: { errors } }
    }
  }

  return {
    post: async (request: FastifyRequest, reply: FastifyReply) => await answer(request.body as Asked, request, reply),
    get: async (request: FastifyRequest, reply: FastifyReply) => {
      const { variables, extensions, ...rest } = request.query as Static<typeof Query>
      return await answer({ ...rest, variables: mapOf(variables, 'variables'), extensions: mapOf(extensions, 'extensions') }, request, reply)
    }
  }
}

/** What is wrong with a request, as GraphQL has it. */
function errorsOf (error: unknown): readonly GraphQLError[] {
  if (error instanceof GraphQLError) return [error]
  const { code, errors } = error as { code?: string, errors?: GraphQLError[] }
  if (error instanceof Invalid || (code === 'MER_ERR_GQL_VALIDATION' && Array.isArray(errors))) return errors ?? []
  const original = error as Error
  return [new GraphQLError(original.message, { originalError: original })]
}

/** A map in a URL. @throws what becomes VALIDATION_FAILED */
function mapOf (json: string | undefined, name: string): Record<string, unknown> | undefined {
  if (json === undefined) return undefined
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {}
  throw Object.assign(new Error(`${name} is no map`), { statusCode: 400, validationContext: 'querystring', validation: [{ instancePath: `/${name}`, keyword: 'type', params: {}, message: 'must be a JSON object' }] })
}

/** Not in openapi.json: schema.graphql says what there is. */
export const hidden = { hide: true } as RouteShorthandOptions['schema'] & object

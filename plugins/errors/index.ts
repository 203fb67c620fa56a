import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { traceOf } from '../../server/trace.ts'
import { frameworkProblem, kitProblem, statusProblem, validationProblem } from './catalogue.ts'
import { databaseProblem } from './database-errors.ts'
import { kitProblems, type KitCode, type ProblemKind } from './kinds.ts'
import { PROBLEM_TYPE, Problem, problemBody, type ProblemInput } from './problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Says, from an onRoute hook, that a route may answer with problems of these statuses. */
    declareProblems: (route: import('fastify').RouteOptions, ...statuses: number[]) => void
    /** Every kind of problem that the service may report, by code. */
    problemKinds: ReadonlyMap<string, ProblemKind>
    /** What a caller is told of an error. */
    problemOf: (error: unknown) => ProblemInput
  }
  interface FastifyReply {
    /** Answers with the kit's problem of this code, or that of a status (RFC 9457). */
    problem: (kind: KitCode | number, detail?: string) => FastifyReply
  }
}

export interface ErrorsOptions {
  /** Status, title and documentation of the domain's error codes. */
  problems?: Record<string, ProblemKind>
}

/** What a client is told to wait when nobody knows better: databases are back within seconds. */
const RETRY_AFTER_SECONDS = '2'

async function errors (fastify: FastifyInstance, { problems = {} }: ErrorsOptions) {
  fastify.addSchema(Problem)
  fastify.decorate('problemKinds', new Map<string, ProblemKind>([...Object.entries(kitProblems), ...Object.entries(problems)]))
  fastify.decorate('declareProblems', (route, ...statuses) => {
    const response = { ...route.schema?.response as Record<string, unknown> }
    for (const status of statuses) response[status] ??= { $ref: 'Problem#' }
    for (const [status, schema] of Object.entries(response)) {
      if (isProblemReference(schema)) response[status] = describe(Number(status))
    }
    route.schema = { ...route.schema, response }
  })
  fastify.decorate('problemOf', error => toProblem(error as FastifyError))
  // What every operation may answer; a route declares what is its own.
  fastify.addHook('onRoute', route => {
    fastify.declareProblems(route, 400, 500, 503)
    // A parameter may be longer than the router takes.
    if (route.url.includes('/:')) fastify.declareProblems(route, 414)
  })

  fastify.decorateReply('problem', function (kind, detail) {
    return send(this.request, this, typeof kind === 'number' ? statusProblem(kind, detail) : kitProblem(kind, detail))
  })

  fastify.setErrorHandler((error: FastifyError, request, reply) => {
    const problem = toProblem(error)
    // What the domain refuses is no fault; the line of the request is enough.
    if (problem.status >= 500 && !Object.hasOwn(problems, error.code ?? '')) request.log.error({ err: error }, error.message)
    return send(request, reply, problem)
  })

  function toProblem (error: FastifyError & { issues?: { path: string, detail: string }[], retryAfter?: number }): ProblemInput {
    const domain = Object.hasOwn(problems, error.code ?? '') ? problems[error.code] : undefined
    if (domain) {
      const { status, title } = domain
      return {
        status,
        title,
        code: error.code,
        detail: error.message,
        errors: error.issues?.map(({ path, detail }) => ({ pointer: `#/body${path}`, detail })),
        ...retryAfter(error)
      }
    }
    if (error.validation) return validationProblem(error)
    const database = databaseProblem(error)
    if (database) return database
    const status = error.statusCode ?? 500
    // The message of an unknown error may hold anything: it goes to the log only.
    if (status < 400 || status >= 500) return statusProblem(status === 503 ? 503 : 500)
    return { ...frameworkProblem(error, status), ...retryAfter(error) }
  }
}

function retryAfter ({ retryAfter }: { retryAfter?: number }): Pick<ProblemInput, 'headers'> {
  return retryAfter === undefined ? {} : { headers: { 'retry-after': String(retryAfter) } }
}

function isProblemReference (schema: unknown): boolean {
  return typeof schema === 'object' && schema !== null && '$ref' in schema && schema.$ref === 'Problem#'
}

function describe (status: number): object {
  return { description: statusProblem(status).title, content: { [PROBLEM_TYPE]: { schema: { $ref: 'Problem#' } } } }
}

function send (request: FastifyRequest, reply: FastifyReply, problem: ProblemInput): FastifyReply {
  if (problem.headers) reply.headers(problem.headers)
  if ((problem.status === 429 || problem.status === 503) && !reply.hasHeader('retry-after')) reply.header('retry-after', RETRY_AFTER_SECONDS)
  // Who knows what is wrong with a token has said so; a 401 never goes without (RFC 9110, 15.5.2).
  if (problem.status === 401 && !reply.hasHeader('www-authenticate')) reply.header('www-authenticate', 'Bearer')
  return reply
    .code(problem.status)
    .type(PROBLEM_TYPE)
    .serializer(JSON.stringify)
    .send(problemBody(problem, request.id, traceOf(request.raw)))
}

export default fp(errors, { name: 'errors' })

import type { FastifyInstance } from 'fastify'
import type { GraphQLError, GraphQLFormattedError } from 'graphql'
import { kitProblem } from '../errors/catalogue.ts'
import { kitProblems } from '../errors/kinds.ts'
import { problemBody, type ProblemInput } from '../errors/problem.ts'
import type { Call } from './call.ts'

/** Errors of a request (its document, its variables), before anything is run; or of a field. */
export type Phase = 'request' | 'execution'

/** Where an error happened, for the log lines and the answer. */
export type Place = Pick<Call, 'requestId' | 'traceId' | 'log'>

/** Says errors of GraphQL as a client gets them: with the problem that a route would answer in `extensions`. */
export type Format = (errors: readonly GraphQLError[], place: Place, phase: Phase) => GraphQLFormattedError[]

/** How errors become problems: the one table of the service says which. What is unexpected goes to the log alone. */
export function formatter ({ problemOf }: Pick<FastifyInstance, 'problemOf'>): Format {
  return (errors, place, phase) => errors.map(error => {
    const problem = problemIn(error, phase, problemOf)
    if (problem.status >= 500 && Object.hasOwn(kitProblems, problem.code)) {
      place.log.error({ err: error.originalError ?? error, path: error.path?.join('.'), requestId: place.requestId }, 'a field failed')
    }
    const { detail: message, code, status, type, requestId, traceId, errors } = problemBody(problem, place.requestId, place.traceId)
    const retryAfter = problem.headers?.['retry-after']
    return {
      message,
      ...error.locations === undefined ? {} : { locations: error.locations },
      ...error.path === undefined ? {} : { path: error.path },
      extensions: {
        code,
        status,
        type,
        requestId,
        ...traceId === undefined ? {} : { traceId },
        ...errors === undefined ? {} : { errors },
        ...retryAfter === undefined ? {} : { retryAfter: Number(retryAfter) }
      }
    }
  })
}

function problemIn (error: GraphQLError, phase: Phase, problemOf: FastifyInstance['problemOf']): ProblemInput {
  const { originalError } = error
  // Of a scalar that refuses a value the cause is in the message already.
  if (phase === 'request' && (originalError == null || !('code' in originalError || 'statusCode' in originalError))) return kitProblem('VALIDATION_FAILED', error.message)
  // Without a cause it is GraphQL itself that found a resolver's result to be none of its type.
  return problemOf(originalError ?? error)
}

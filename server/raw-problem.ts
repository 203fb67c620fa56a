import type { FastifyInstance } from 'fastify'
import { PROBLEM_TYPE, problemBody, type ProblemInput } from '../plugins/errors/problem.ts'

/** Headers and body of a problem, for what is answered without a reply. */
export function rawProblem (problem: ProblemInput, fastify: FastifyInstance, id: string, traceId?: string): { headers: Record<string, string>, body: string } {
  const secure = fastify.hasDecorator('securityHeaders') ? fastify.getDecorator<Record<string, string>>('securityHeaders') : {}
  return {
    headers: { ...secure, 'content-type': PROBLEM_TYPE, 'x-request-id': id },
    body: JSON.stringify(problemBody(problem, id, traceId))
  }
}

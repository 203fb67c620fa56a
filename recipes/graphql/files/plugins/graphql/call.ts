import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { traceOf, type Origin } from '../../server/trace.ts'
import { compileSchema, type Validate } from '../../server/validator.ts'
import { missingToken } from '../auth/bearer.ts'
import type { AuthenticatedUser } from '../auth/index.ts'
import type { Deadline } from '../deadline.ts'
import type { EventFilter } from '../events/index.ts'
import { EventQueue } from './event-queue.ts'

/** What a resolver knows of whoever called; the context of every operation has it. */
export interface Call {
  /** Who calls; undefined: a request without a token. Behind @auth there is somebody. */
  user: AuthenticatedUser | undefined
  requestId: string
  traceId: string | undefined
  origin: Origin
  log: FastifyBaseLogger
  /** By when a request has to be answered; a subscription has none. */
  deadline: Deadline | undefined
  /** Lets a field go on for whoever has the scopes, where @auth can't say so. Throws what becomes UNAUTHORIZED or FORBIDDEN. */
  authorize: (...scopes: string[]) => void
  /** Holds an input against a schema, as a route does with a body or, as `query`, a query string. Throws what becomes VALIDATION_FAILED. */
  check: (schema: object, value: unknown, part?: 'body' | 'query') => void
  /** The events that the filter lets through, for a subscription: those after `after`, without it those from now on. */
  follow: (filter: EventFilter & { after?: string }) => Promise<EventQueue>
}

/**
 * Lets a call go on that has the scopes.
 * @throws what becomes the problem UNAUTHORIZED or FORBIDDEN
 */
export function authorize ({ user }: Pick<Call, 'user'>, scopes: string[]): void {
  if (user === undefined) throw missingToken()
  if (scopes.some(scope => !user.scopes.has(scope))) throw Object.assign(new Error(`This needs the scope ${scopes.join(' ')}.`), { statusCode: 403 })
}

/** Stands for a request without a token: the guard wants somebody, and this is nobody. */
export const NOBODY: AuthenticatedUser = { id: '', scopes: new Set(), expiresAt: Infinity }

const validators = new WeakMap<object, Validate>()

function check (schema: object, value: unknown, part: 'body' | 'query' = 'body'): void {
  const validate = validators.get(schema) ?? compileSchema(schema, { allErrors: true })
  validators.set(schema, validate)
  if (!validate(value)) throw Object.assign(new Error('The input does not fit.'), { validation: validate.errors, validationContext: part })
}

/**
 * The call that a request is.
 * @param tooSlow is told, of a subscription, that its client does not keep up
 */
export function callOf ({ events }: FastifyInstance, request: FastifyRequest, tooSlow?: () => void): Call {
  const { id: requestId, raw, origin, log, deadline } = request
  const user = request.user === NOBODY ? undefined : request.user
  return {
    user,
    requestId,
    traceId: traceOf(raw),
    origin,
    log,
    deadline: tooSlow === undefined ? deadline : undefined,
    authorize: (...scopes) => authorize({ user }, scopes),
    check,
    follow: async filter => {
      const queue = new EventQueue(tooSlow ?? (() => {}))
      queue.begin(await events.subscribe(queue, filter))
      return queue
    }
  }
}

// The Idempotency-Key header, for routes that opt in.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Repeatable } from '../../services/idempotency.ts'

export const idempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(Type.String({
    minLength: 1,
    maxLength: 255,
    pattern: '^[!-~]+$',
    description: 'Makes it safe to send the request again: the same key and body get the first answer'
  }))
})

/** What the request asks for, if it has a key. `operation` names the route; `ttl` is in milliseconds. */
export function repeatable (request: FastifyRequest, operation: string, ttl: number): Repeatable | undefined {
  const key = request.headers['idempotency-key']
  if (typeof key !== 'string') return undefined
  return { userId: request.user.id, operation, key, input: { params: request.params, body: request.body }, ttl }
}

/** Says of an answer whether it is the stored one. Gives the answer back. */
export function markReplay<T> (reply: FastifyReply, { answer, replayed }: { answer: T, replayed: boolean }): T {
  if (replayed) reply.header('idempotency-replayed', 'true')
  return answer
}

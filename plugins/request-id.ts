import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { traceOf, type Origin } from '../server/trace.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Where what follows from the request comes from, for its log lines. */
    readonly origin: Origin
  }
}

/** Tells the client the id that its request has in the logs. */
async function requestId (fastify: FastifyInstance) {
  fastify.decorateRequest('origin', { getter () { return originOf(this) } })
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
}

/** A traceparent that is not well-formed is left out. */
function originOf ({ id, raw }: FastifyRequest): Origin {
  return { requestId: id, ...traceOf(raw) === undefined ? {} : { traceparent: String(raw.headers.traceparent) } }
}

export default fp(requestId, { name: 'request-id' })

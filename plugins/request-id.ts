import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyRequest {
    /** Where what follows from the request comes from, for its log lines. */
    readonly origin: { requestId: string, traceparent?: string }
  }
}

/** W3C Trace Context, version 00: neither id is all zeros. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** Tells the client the id that its request has in the logs. */
async function requestId (fastify: FastifyInstance) {
  fastify.decorateRequest('origin', { getter () { return originOf(this) } })
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
}

/** A traceparent that is not well-formed is left out. */
function originOf ({ id, headers: { traceparent } }: FastifyRequest): FastifyRequest['origin'] {
  return { requestId: id, ...typeof traceparent === 'string' && TRACEPARENT.test(traceparent) ? { traceparent } : {} }
}

export default fp(requestId, { name: 'request-id' })

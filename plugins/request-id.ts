import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Tells the client the id that its request has in the logs. */
async function requestId (fastify: FastifyInstance) {
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
}

export default fp(requestId, { name: 'request-id' })

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Refuses HTTP/1.1 requests without a Host header (RFC 9112, 3.2). */
async function host (fastify: FastifyInstance) {
  fastify.addHook('onRequest', (request, reply, done) => {
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') void reply.problem(400, 'A request needs a Host header.')
    else done()
  })
}

export default fp(host, { name: 'host', dependencies: ['errors'] })

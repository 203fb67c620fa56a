import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Two duties of HTTP/1.1 servers that Node would answer by itself, with an empty body. */
async function host (fastify: FastifyInstance) {
  // No Host: refused (RFC 9112, 3.2), once the hooks before have set their headers.
  fastify.addHook('preParsing', (request, reply, _payload, done) => {
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') void reply.problem(400, 'A request needs a Host header.')
    else done()
  })
  // An unknown Expect may be ignored (RFC 9110, 10.1.1).
  fastify.server.on('checkExpectation', (request, response) => fastify.server.emit('request', request, response))
}

export default fp(host, { name: 'host', dependencies: ['errors'] })

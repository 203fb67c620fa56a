import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** uri-host [ ":" port ] of RFC 3986, which may be empty. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/i

/** Duties of HTTP/1.1 servers that Node leaves alone, or would answer by itself with an empty body. */
async function host (fastify: FastifyInstance) {
  // Refused (RFC 9112, 3.2) once the hooks before have set their headers.
  fastify.addHook('preParsing', ({ raw }, reply, _payload, done) => {
    const fault = faultOf(raw)
    if (fault === undefined) done()
    else void reply.problem(400, fault)
  })
  // An unknown Expect may be ignored (RFC 9110, 10.1.1).
  fastify.server.on('checkExpectation', (request, response) => fastify.server.emit('request', request, response))
}

function faultOf ({ headers: { host }, rawHeaders, httpVersion }: IncomingMessage): string | undefined {
  if (host === undefined) return httpVersion === '1.1' ? 'A request needs a Host header.' : undefined
  if (!HOST.test(host)) return 'The Host header is malformed.'
  // Node keeps the first; a proxy may have looked at another.
  if (rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length > 1) return 'A request has one Host header.'
  return undefined
}

export default fp(host, { name: 'host', dependencies: ['errors'] })

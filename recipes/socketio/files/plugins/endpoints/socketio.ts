import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Type } from 'typebox'
import { PATH } from '../socketio/index.ts'
import { admitHandshake, upgradeRequired } from '../websocket/admission.ts'

/** What the handshake of a client says of itself; there is no long-polling here. */
const query = Type.Object({
  EIO: Type.String({ pattern: '^4$', maxLength: 1, description: 'The version of the protocol below Socket.IO' }),
  transport: Type.String({ pattern: '^websocket$', maxLength: 9, description: 'The only one that this service has' }),
  t: Type.Optional(Type.String({ maxLength: 64, pattern: '^[\\s\\S]*$', description: 'Against caches' }))
}, { additionalProperties: false })

/** Where Socket.IO clients connect: as any request of the service until it is a WebSocket. Who they are is asked in the handshake of Socket.IO. */
async function endpoint (fastify: FastifyInstance) {
  fastify.get(PATH, {
    config: { public: true },
    schema: { hide: true, querystring: query },
    onRequest: [admitHandshake(fastify.config.ALLOWED_ORIGINS)]
  }, async (request, reply) => {
    const { raw } = request
    if (!request.ws) return upgradeRequired(request, reply, 'Connect with a Socket.IO client, version 4, with transports: [\'websocket\'].')
    if (fastify.socketio.isClosing) return reply.problem(503, 'The service is stopping.')
    const { socket } = raw
    reply.hijack()
    // It is no HTTP connection any more.
    if (reply.raw.socket === socket) reply.raw.detachSocket(socket)
    request.deadline.end()
    fastify.socketio.upgrade(raw, socket, headOf(raw), request.id)
  })
}

/** What came behind the head of the request, which @fastify/websocket keeps with it. */
function headOf (request: IncomingMessage): Buffer {
  const key = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'ws-head')
  const head = key === undefined ? undefined : (request as unknown as Record<symbol, unknown>)[key]
  return Buffer.isBuffer(head) ? head : Buffer.alloc(0)
}

export default fp(endpoint, { name: 'socketio-endpoint', dependencies: ['config', 'deadline', 'errors', 'socketio'] })

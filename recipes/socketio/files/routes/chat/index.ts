import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { roomOf, say } from '../../services/chat.ts'

const closed = { additionalProperties: false }
const room = Type.String({ minLength: 1, maxLength: 64, pattern: '^[a-z0-9][a-z0-9-]*$' })
const ROOMS_MAX = 50

/** A chat: no HTTP routes, but events of Socket.IO clients. */
const chat: FastifyPluginAsyncTypebox = async ({ socketio }) => {
  socketio.follow({ topic: 'order', scopes: ['orders:read'] })

  socketio.on('chat.enter', {
    payload: Type.Object({ room }, closed),
    scopes: [],
    handler: async ({ socket, payload }) => {
      if (socket.rooms.size >= ROOMS_MAX) throw Object.assign(new Error(`A client is in ${ROOMS_MAX} rooms at the most.`), { statusCode: 409 })
      await socket.join(roomOf(payload.room))
    }
  })

  socketio.on('chat.leave', {
    payload: Type.Object({ room }, closed),
    scopes: [],
    handler: async ({ socket, payload }) => { await socket.leave(roomOf(payload.room)) }
  })

  socketio.on('chat.say', {
    payload: Type.Object({ room, text: Type.String({ minLength: 1, maxLength: 1000, pattern: '^[^\\u0000]*$' }), id: Type.Optional(Type.String({ format: 'uuid' })) }, closed),
    scopes: [],
    handler: async ({ socket, user, payload }) => await say(socketio.publish, user, socket.rooms, payload)
  })
}

export default chat

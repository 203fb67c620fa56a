import websocket, { type WebsocketHandler } from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import pLimit from 'p-limit'
import type { TSchema } from 'typebox'
import type { WebSocket } from 'ws'
import { traceOf } from '../../server/trace.ts'
import { admitConnection, admitHandshake, upgradeRequired } from './admission.ts'
import { Connection, type Shared } from './connection.ts'
import { Connections } from './connections.ts'
import { Frames } from './frames.ts'
import type { Limits, Member } from './member.ts'
import { SUBPROTOCOL } from './messages.ts'
import { topicFinder, type Topic, type TopicFinder } from './topics.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route is a WebSocket on which clients follow these topics. */
    topics?: Topic[]
    /** The route is a WebSocket that speaks another protocol than that of topics. */
    socket?: SocketProtocol
  }
  interface FastifyInstance {
    sockets: Sockets
  }
}

/** A route that is a WebSocket, as its documentation needs it: `schemas` are those that the events of its topics refer to. */
export interface SocketRoute { url: string, summary: string, description: string, query: object | undefined, topics: Topic[], schemas: () => Record<string, TSchema> }

/** A protocol of its own: its name among the subprotocols of RFC 6455, and what serves a connection that was admitted. */
export interface SocketProtocol { name: string, connect: (socket: WebSocket, request: FastifyRequest, limits: Limits) => Member }

export interface Sockets {
  /** The handler of a route whose config has topics or a socket: it tells those who do not ask for a WebSocket to do so. */
  handler: RouteHandlerMethod
  /** Open connections of this process. */
  readonly size: number
  readonly routes: readonly SocketRoute[]
}

const KiB = 1024
const MAX_MESSAGE = 16 * KiB
/** How long a client gets to answer a close frame. */
const CLOSE_TIMEOUT_MS = 3_000
const LOOK_UPS = 3

/** WebSockets (RFC 6455) on which clients follow events: admission, protocol, limits, heartbeat and a quick end. */
async function sockets (fastify: FastifyInstance) {
  const { config, events, log, problemOf } = fastify
  const limits: Limits = {
    messagesPerSecond: config.WS_MESSAGES_MAX,
    subscriptions: 100,
    invalidMessages: 10,
    buffer: 256 * KiB,
    lowWater: 64 * KiB,
    pingInterval: config.WS_PING_INTERVAL
  }
  const shared: Shared = { hub: events, frames: new Frames(), log, limits, lookUps: pLimit(LOOK_UPS), problemOf }
  const connections = new Connections(limits.pingInterval)
  const routes: SocketRoute[] = []
  fastify.decorate('sockets', { handler: (request, reply) => upgradeRequired(request, reply), get size () { return connections.size }, routes })

  const admission = admitConnection(connections, config.WS_CONNECTIONS_MAX)
  const upgrades = new WeakMap<object, { request: FastifyRequest, reply: FastifyReply }>()
  const handlers = new WeakMap<RouteOptions, RouteHandlerMethod>()

  fastify.addHook('onRoute', function (route) {
    handlers.set(route, route.handler as RouteHandlerMethod)
    const { topics, socket } = route.config ?? {}
    if (topics === undefined && socket === undefined) return
    fastify.declareProblems(route, 426)
    if (route.method === 'HEAD') return
    const { summary = '', description = '', querystring } = (route.schema ?? {}) as { summary?: string, description?: string, querystring?: object }
    if (topics !== undefined) routes.push({ url: route.url, summary, description, query: querystring, topics, schemas: () => this.getSchemas() as Record<string, TSchema> })
    route.wsHandler = connect(socket?.connect ?? followers(topicFinder(topics ?? []))) as typeof route.wsHandler
    route.onRequest = [...[route.onRequest ?? []].flat(), admitHandshake(config.ALLOWED_ORIGINS, socket?.name ?? SUBPROTOCOL)]
    route.preHandler = [...[route.preHandler ?? []].flat(), admission, (request, reply, done) => {
      if (request.ws) upgrades.set(request.raw, { request, reply })
      done()
    }]
  })
  await fastify.register(websocket, {
    options: { maxPayload: MAX_MESSAGE, perMessageDeflate: false, clientTracking: false, closeTimeout: CLOSE_TIMEOUT_MS, handleProtocols } as object,
    preClose: done => {
      connections.close()
      done()
    }
  })
  // The library would open a WebSocket on any route, and close it at once: elsewhere the request is answered as any other.
  fastify.addHook('onRoute', route => {
    const handler = handlers.get(route)
    if (route.wsHandler === undefined && handler !== undefined) route.handler = handler
  })
  fastify.websocketServer.on('headers', (headers, raw) => { headers.push(`X-Request-Id: ${upgrades.get(raw)?.request.id}`) })

  /** The subprotocol of the route, if the client offers it. */
  function handleProtocols (offered: Set<string>, raw: object): string | false {
    const name = upgrades.get(raw)?.request.routeOptions.config.socket?.name ?? SUBPROTOCOL
    return offered.has(name) && name
  }

  function followers (find: TopicFinder): SocketProtocol['connect'] {
    return (socket, { id: requestId, user, raw, routeOptions }) => new Connection(socket, raw.socket, { user, requestId, route: routeOptions.url ?? '', find }, shared)
  }

  function connect (serve: SocketProtocol['connect']): WebsocketHandler {
    return (socket, request) => {
      const { id: requestId, raw } = request
      const stream = raw.socket
      const origin = { requestId, traceId: traceOf(raw) }
      // For as long as it is open nothing holds the request any more: the errors of a socket come before its end, which is logged.
      const response = upgrades.get(raw)?.reply.raw
      if (response?.socket === stream) response.detachSocket(stream)
      request.deadline.end()
      socket.removeAllListeners('error').on('error', () => {})
      const connection = serve(socket, request, limits)
      connections.add(connection)
      socket.on('close', code => {
        connections.delete(connection)
        log.info({ ...origin, ...connection.ended(code) }, 'websocket closed')
      })
    }
  }
}

export { closeCodes, protocolCodes, type Ending } from './close-codes.ts'
export { Member, type Limits } from './member.ts'
export { clientMessages, replies, serverMessages, SUBPROTOCOL } from './messages.ts'
export { topicPattern, type Topic } from './topics.ts'
export default fp(sockets, { name: 'websocket', dependencies: ['config', 'errors', 'auth', 'deadline', 'events', 'shutdown'] })

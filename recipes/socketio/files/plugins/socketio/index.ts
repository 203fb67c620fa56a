import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket as NetSocket } from 'node:net'
import { Server as Engine } from 'engine.io'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Counter } from 'prom-client'
import { Server, type Namespace, type Socket } from 'socket.io'
import type { Static, TSchema } from 'typebox'
import type { Following } from '../events/index.ts'
import { PerUser } from '../events/per-user.ts'
import { gauge } from '../metrics/http.ts'
import { openPassage } from './adapters.ts'
import type { Missed } from './recovery.ts'
import { admission, type Admitted } from './admission.ts'
import { Connection, endTransport, goodbyes, type Limits, type Shared } from './connection.ts'
import { follow, type Follow } from './following.ts'
import { Messages, type MessageDefinition } from './messages.ts'
import type { SharedOrder } from './shared-order.ts'

declare module 'fastify' {
  interface FastifyInstance {
    socketio: SocketIo
  }
}

export interface SocketIo {
  /** Declares an event that clients may send; its answer is the acknowledgement. */
  on: <Schema extends TSchema>(name: string, definition: Omit<MessageDefinition<Static<Schema>>, 'payload'> & { payload: Schema }) => void
  /** Has clients get the domain events of a topic (`order`) that concern them, if they have the scopes. */
  follow: (follow: Follow) => void
  /**
   * Sends to all clients in a room, in all processes, in the same order to all of them. Each user has the room `user:ID`.
   * @throws an error with status 503 when the other processes can't be reached: nobody gets it, or all do
   */
  publish: (room: string, event: string, data: object) => Promise<void>
  /** Takes over a request for an upgrade. */
  upgrade: (request: IncomingMessage, socket: NetSocket, head: Buffer, requestId: string) => void
  /** Whether the service is stopping. */
  readonly isClosing: boolean
  /** Clients of this process. */
  readonly size: number
  readonly io: Server
}

export const PATH = '/socket.io/'
const KiB = 1024
const MAX_MESSAGE = 16 * KiB
const SWEEP_MS = 1_000
/** For how long after a loss of connection clients are given what they missed. */
const RECOVERY_MS = 2 * 60_000
const CONNECT_MS = 10_000
/** Packets of a client until it is let in: it asks to be, and some are on their way by then. */
const PACKETS_BEFORE = 20
const EVENT = 2

/** Socket.IO on the same server: a token in the handshake, a room for each user, limits, domain events, and an end that clients come back from. */
async function socketio (fastify: FastifyInstance) {
  const { config, events, log, problemOf } = fastify
  const limits: Limits = { messagesPerSecond: config.WS_MESSAGES_MAX, invalidMessages: 10, buffer: 256 * KiB, lowWater: 64 * KiB }
  const messages = new Messages()
  const follows: Follow[] = []
  const connections = new Set<Connection>()
  const perUser = new PerUser()
  const requestIds = new WeakMap<IncomingMessage, string>()
  let isClosing = false

  if (config.SOCKETIO_ADAPTER === 'postgres' && config.DATABASE_URL === undefined) throw new Error('SOCKETIO_ADAPTER is postgres: set DATABASE_URL')
  const url = new URL(fastify.databaseUrl)
  const passage = await openPassage({
    kind: config.SOCKETIO_ADAPTER as 'memory',
    redisUrl: config.REDIS_URL,
    databaseUrl: fastify.databaseUrl,
    name: `${url.pathname.slice(1)}:${url.searchParams.get('schema') ?? 'public'}`,
    log,
    onGap: () => { for (const connection of connections) connection.send('gap', {}) }
  })

  const engine = new Engine({
    transports: ['websocket'],
    allowUpgrades: false,
    perMessageDeflate: false,
    maxHttpBufferSize: MAX_MESSAGE,
    pingInterval: config.WS_PING_INTERVAL,
    pingTimeout: config.WS_PING_INTERVAL
  })
  const io = new Server({
    serveClient: false,
    connectTimeout: CONNECT_MS,
    // The library calls it with `new`.
    adapter: function (namespace: Namespace) { return passage.create(namespace) } as never,
    // The token of who comes back is looked at, too.
    ...passage.recovers ? { connectionStateRecovery: { maxDisconnectionDuration: RECOVERY_MS, skipMiddlewares: false } } : {}
  }).bind(engine as never)

  const seen = observe(fastify, () => connections.size, passage.isThere)
  const shared: Shared = { messages, limits, log, problemOf, onMessage: seen }
  const admitted = new WeakMap<Socket, Admitted>()
  const inside = new WeakSet<Socket['conn']>()
  engine.on('connection', (conn: Socket['conn']) => {
    let count = 0
    conn.on('packet', () => { if (!inside.has(conn) && ++count > PACKETS_BEFORE) endTransport(conn) })
  })
  io.use(admission({ readToken: fastify.readToken, problemOf, admitted, mayConnect: id => !isClosing && perUser.of(id) < config.WS_CONNECTIONS_MAX }))

  io.on('connection', socket => {
    const { user, lastEventId } = admitted.get(socket) ?? {}
    if (user === undefined) return void socket.disconnect(true)
    inside.add(socket.conn)
    const connection = new Connection(socket, user, requestIds.get(socket.request) ?? randomUUID(), shared)
    connections.add(connection)
    perUser.add(user.id)
    // What is said from here on it gets as it is said.
    const { missed } = socket.data as { missed?: Missed }
    if (missed !== undefined) for (const packet of passage.missed(missed)) connection.send(...packet)
    socket.data = { userId: user.id }
    void socket.join(`user:${user.id}`)
    const followed = begin(connection, lastEventId)
    socket.on('disconnect', reason => {
      connections.delete(connection)
      perUser.delete(user.id)
      void followed.then(following => following?.close())
      // Who leaves may not stay below, where no limit is.
      if (socket.conn.readyState === 'open') endTransport(socket.conn)
      log.info(connection.ended(reason), 'socket.io client gone')
    })
  })

  /** Greets a client and lets it follow what it may. */
  async function begin (connection: Connection, after: string | undefined): Promise<Following | void> {
    const { socket, user } = connection
    const topics = follows.filter(({ scopes }) => scopes.every(scope => user.scopes.has(scope))).map(({ topic }) => topic)
    const greet = (lastEventId?: string) => {
      const welcome = { userId: user.id, recovered: socket.recovered, ...lastEventId === undefined ? {} : { lastEventId } }
      const offset = passage.offset()
      // With the offset the client can come back to here.
      if (passage.keepsAll) socket.emit('welcome', welcome)
      else connection.send('welcome', welcome, ...offset === undefined ? [] : [offset])
    }
    if (topics.length === 0) return void greet()
    try {
      return await follow(events, connection, topics, after, greet)
    } catch (error) {
      log.warn({ err: error }, 'a Socket.IO client can\'t follow events')
      connection.end(goodbyes.failed)
    }
  }

  const sweep = setInterval(() => {
    const wallTime = Date.now()
    for (const connection of connections) connection.check(wallTime)
  }, SWEEP_MS).unref()

  fastify.decorate('socketio', {
    io,
    on: (name, definition) => messages.add(name, definition as MessageDefinition),
    follow: one => { follows.push(one) },
    async publish (room, event, data) {
      const adapter = io.of('/').adapter as unknown as Pick<SharedOrder, 'broadcast'> & { passOn?: SharedOrder['passOn'] }
      const [packet, options] = [{ type: EVENT, data: [event, data] }, { rooms: new Set([room]), except: new Set<string>() }]
      if (adapter.passOn === undefined) return void adapter.broadcast(packet, options)
      await adapter.passOn(packet, options).catch(error => { throw Object.assign(new Error('The message can\'t be passed on now.', { cause: error }), { statusCode: 503 }) })
    },
    upgrade (request, socket, head, requestId) {
      requestIds.set(request, requestId)
      engine.handleUpgrade(request as never, socket, head)
    },
    get isClosing () { return isClosing },
    get size () { return connections.size }
  })

  fastify.addHook('preClose', async () => {
    isClosing = true
    for (const connection of connections) connection.end(goodbyes.stopping)
    // Also those that have not said who they are.
    for (const conn of Object.values((engine as unknown as { clients: Record<string, Socket['conn']> }).clients)) endTransport(conn)
  })
  fastify.addHook('onClose', async () => {
    clearInterval(sweep)
    await io.close()
    await passage.close()
  })
}

/** Gives what counts the events of clients. */
function observe ({ metrics }: FastifyInstance, size: () => number, isThere: () => boolean): (event: string, outcome: string) => void {
  if (!metrics.isOn) return () => {}
  const registers = [metrics.registry]
  gauge(metrics.registry, 'socketio_connections', 'Socket.IO clients', size)
  gauge(metrics.registry, 'socketio_adapter_up', 'Whether messages to rooms reach and come from the other processes', () => isThere() ? 1 : 0)
  const counter = new Counter({ name: 'socketio_messages_total', help: 'Events of clients, by how they were acknowledged: done, or the code of the error', labelNames: ['event', 'outcome'], registers })
  return (event, outcome) => counter.inc({ event, outcome })
}

export default fp(socketio, { name: 'socketio', dependencies: ['config', 'errors', 'auth', 'events', 'database', 'metrics', 'shutdown', 'websocket'] })

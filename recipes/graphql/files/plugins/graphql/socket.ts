import type { FastifyRequest } from 'fastify'
import { GraphQLError, type ExecutionArgs, type ExecutionResult, type GraphQLSchema } from 'graphql'
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer, type Context as SocketContext, type Server, type SubscribePayload } from 'graphql-ws'
import type { RawData, WebSocket } from 'ws'
import type { AuthenticatedUser } from '../auth/index.ts'
import { closeCodes, type Ending, type Limits, type Member, type SocketProtocol } from '../websocket/index.ts'
import type { Call } from './call.ts'
import { Invalid, type Documents } from './documents.ts'
import type { Format } from './problems.ts'

interface Extra { call: Call, limits: Limits }

export interface SocketOptions {
  schema: GraphQLSchema
  documents: Documents
  format: Format
  /** What resolvers get of the request that the connection began with. */
  contextOf: (request: FastifyRequest, tooSlow: () => void) => Call
}

const SECOND = 1000
const OPEN = 1

/**
 * Subscriptions over a WebSocket, by graphql-transport-ws: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
 * (mercurius's own connection validates no document, and knows no persisted queries.) Who connects is known before it is open.
 */
export function graphqlSocket ({ schema, documents, format, contextOf }: SocketOptions): SocketProtocol {
  const server = makeServer<SocketContext['connectionParams'], Extra>({
    onSubscribe: ({ subscriptions, extra: { call, limits } }, _id, payload) => {
      try {
        if (Object.keys(subscriptions).length > limits.subscriptions) throw Object.assign(new Error(`A connection has ${limits.subscriptions} subscriptions at the most.`), { statusCode: 429, code: 'TOO_MANY_STREAMS' })
        return argumentsOf(payload, call)
      } catch (error) {
        if (error instanceof Invalid) return error.errors
        return [error instanceof GraphQLError ? error : new GraphQLError((error as Error).message, { originalError: error as Error })]
      }
    },
    onNext: ({ extra: { call } }, _id, _payload, _args, { errors, ...rest }) => errors === undefined ? rest : { ...rest, errors: format(errors, call, 'execution') } as unknown as ExecutionResult,
    onError: ({ extra: { call } }, _id, _payload, errors) => format(errors, call, 'request')
  })

  function argumentsOf (payload: SubscribePayload, call: Call): ExecutionArgs {
    const { operationName, variables, extensions } = payload
    const document = documents.read(documents.textOf({ query: payload.query, documentId: (payload as { documentId?: string }).documentId, extensions }))
    documents.admit(document, operationName, variables ?? {}, 'socket')
    return { schema, document, operationName, variableValues: variables, contextValue: call }
  }

  return {
    name: GRAPHQL_TRANSPORT_WS_PROTOCOL,
    connect: (socket, request, limits) => new GraphqlConnection(socket, request, limits, server, contextOf)
  }
}

/** One client and its limits, which are those of every WebSocket here. */
class GraphqlConnection implements Member {
  readonly peer: { user: AuthenticatedUser }
  readonly #socket: WebSocket
  readonly #limits: Limits
  readonly #route: string
  readonly #since = performance.now()
  #ending: Ending | undefined
  #received = 0
  #sent = 0
  #second = 0
  #inSecond = 0
  #isAlive = true
  #nextPing: number

  constructor (socket: WebSocket, request: FastifyRequest, limits: Limits, server: Server<Extra>, contextOf: SocketOptions['contextOf']) {
    this.#socket = socket
    this.#limits = limits
    this.peer = { user: request.user }
    this.#route = request.routeOptions.url ?? ''
    this.#nextPing = this.#since + limits.pingInterval
    const call = contextOf(request, () => this.end(closeCodes.tooSlow))
    const closed = server.opened({
      protocol: socket.protocol,
      send: async data => await this.#send(data),
      close: (code, reason) => socket.close(code, reason),
      onMessage: handle => { socket.on('message', (data: RawData, isBinary) => this.#receive(data, isBinary, handle, call)) }
    }, { call, limits })
    socket.on('ping', () => this.#count())
    socket.on('pong', () => {
      this.#isAlive = true
      this.#count()
    })
    socket.once('close', (code, reason) => void Promise.resolve(closed(code, String(reason))).catch(error => call.log.error({ err: error }, 'a subscription did not end well')))
  }

  check (now: number, wallTime: number): void {
    if (this.#socket.readyState !== OPEN) return
    if (this.peer.user.expiresAt <= wallTime) return this.end(closeCodes.tokenExpired)
    if (now < this.#nextPing) return
    if (!this.#isAlive) return this.terminate()
    this.#isAlive = false
    this.#nextPing = now + this.#limits.pingInterval
    this.#socket.ping()
  }

  end (ending: Ending): void {
    this.#ending ??= ending
    this.#socket.close(ending.code, ending.reason)
  }

  terminate (): void {
    this.#socket.terminate()
  }

  ended (code: number): object {
    return {
      route: this.#route,
      userId: this.peer.user.id,
      code: this.#ending?.code ?? code,
      ...this.#ending === undefined ? {} : { reason: this.#ending.reason },
      seconds: Math.round((performance.now() - this.#since) / 10) / 100,
      received: this.#received,
      sent: this.#sent
    }
  }

  /** Resolves when the message has left: until then the subscription takes its next event no further. */
  async #send (data: string): Promise<void> {
    if (this.#socket.readyState !== OPEN) return
    if (this.#socket.bufferedAmount > this.#limits.buffer) return this.end(closeCodes.tooSlow)
    this.#sent++
    // What can't be sent any more is the end of the connection, which comes as such.
    await new Promise<void>(resolve => this.#socket.send(data, { binary: false }, () => resolve()))
  }

  #receive (data: RawData, isBinary: boolean, handle: (text: string) => Promise<void>, { log }: Call): void {
    if (this.#ending !== undefined) return
    this.#isAlive = true
    this.#received++
    if (isBinary) return this.end(closeCodes.binary)
    if (!this.#count()) return
    handle(String(data)).catch(error => {
      log.error({ err: error }, 'a message of a websocket failed')
      this.#socket.close(CloseCode.InternalServerError, 'internal error')
    })
  }

  #count (): boolean {
    const second = Math.floor(performance.now() / SECOND)
    if (second !== this.#second) {
      this.#second = second
      this.#inSecond = 0
    }
    if (++this.#inSecond <= this.#limits.messagesPerSecond) return true
    this.end(closeCodes.tooManyMessages)
    return false
  }
}

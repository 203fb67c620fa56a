import type { FastifyRequest } from 'fastify'
import { GraphQLError, type ExecutionArgs, type ExecutionResult, type GraphQLSchema } from 'graphql'
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer, type Context as SocketContext, type Server, type SubscribePayload } from 'graphql-ws'
import type { WebSocket } from 'ws'
import { closeCodes, Member, type Limits, type SocketProtocol } from '../websocket/index.ts'
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

/** A client that subscribes. */
class GraphqlConnection extends Member {
  readonly #log: Call['log']
  #handle: (text: string) => Promise<void> = async () => {}

  constructor (socket: WebSocket, request: FastifyRequest, limits: Limits, server: Server<Extra>, contextOf: SocketOptions['contextOf']) {
    super(socket, { user: request.user, route: request.routeOptions.url ?? '' }, limits)
    const call = contextOf(request, () => this.end(closeCodes.tooSlow))
    this.#log = call.log
    const closed = server.opened({
      protocol: socket.protocol,
      send: async data => await this.#send(data),
      close: (code, reason) => socket.close(code, reason),
      onMessage: handle => { this.#handle = handle }
    }, { call, limits })
    socket.once('close', (code, reason) => void Promise.resolve(closed(code, String(reason))).catch(error => call.log.error({ err: error }, 'a subscription did not end well')))
  }

  /** Resolves when the message has left: until then the subscription takes its next event no further. */
  async #send (data: string): Promise<void> {
    // What can't be sent any more is the end of the connection, which comes as such.
    await new Promise<void>(resolve => { if (!this.write(data, resolve)) resolve() })
  }

  protected override handle (text: string): void {
    this.#handle(text).catch(error => {
      this.#log.error({ err: error }, 'a message of a websocket failed')
      this.socket.close(CloseCode.InternalServerError, 'internal error')
    })
  }
}

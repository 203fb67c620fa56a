import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { ExecutionResult, GraphQLSchema } from 'graphql'
import mercurius, { type MercuriusContext } from 'mercurius'
import type { AuthenticatedUser } from '../auth/index.ts'
import { callOf, NOBODY, type Call } from './call.ts'
import { directives, guarded } from './directives.ts'
import { Documents, parseOptions, validateOptions } from './documents.ts'
import type { Followed } from './event-queue.ts'
import { Body, handlers, hidden, Query, type Context } from './http.ts'
import { formatter } from './problems.ts'
import { graphqlSocket } from './socket.ts'

declare module 'fastify' {
  /** What a resolver knows of whoever called. */
  interface GraphqlCall extends Call {}
  /** What a subscription is told. */
  type GraphqlFollowed = Followed
  interface FastifyInstance {
    /** Serves a schema at the prefix of the instance: over HTTP and, its subscriptions, over a WebSocket. */
    serveGraphql: (options: GraphqlOptions) => Promise<void>
  }
}

export interface GraphqlOptions {
  /** Makes it, with its resolvers, of the directives that it may use: its fields say who may ask, by @public and @auth. */
  schema: (directives: string) => GraphQLSchema
  /** Every scope that a token may have. */
  scopes: readonly string[]
  /** What resolvers get; made for each operation over HTTP, and for each connection over a WebSocket (`isLasting`). */
  context: (call: Call, isLasting: boolean) => Call
  /** The file of the persisted queries. */
  persisted: string
  /** Who connects to the WebSocket with a ticket, where there is no access token. */
  byTicket: (request: FastifyRequest) => Promise<AuthenticatedUser | undefined>
}

/** Documents that are kept parsed, and as many of those that are wrong. */
const CACHED = 256

/** GraphQL by mercurius: what every schema needs, whatever it is of. */
async function graphql (fastify: FastifyInstance) {
  const { config } = fastify
  const format = formatter(fastify)

  fastify.decorate('serveGraphql', async function (this: FastifyInstance, { schema: make, scopes, context, persisted, byTicket }) {
    const schema = guarded(make(directives), scopes)
    const documents = new Documents({
      schema,
      file: persisted,
      onlyPersisted: config.GRAPHQL_OPERATIONS === 'persisted',
      introspection: config.GRAPHQL_INTROSPECTION === 'on',
      most: { depth: config.GRAPHQL_DEPTH_MAX, cost: config.GRAPHQL_COST_MAX }
    })
    await this.register(mercurius, {
      schema,
      // Its routes know one media type, and answer errors in their own way.
      routes: false,
      cache: CACHED,
      graphql: { parseOptions, validateOptions },
      validationRules: documents.rules,
      errorFormatter: ({ data, errors = [] }, context) => ({
        statusCode: 200,
        response: { data, errors: format(errors, context as unknown as Call, 'execution') } as unknown as ExecutionResult
      })
    })
    this.graphql.addHook('preExecution', async (_schema, document, context: MercuriusContext, variables) => {
      const { operationName, method } = context as unknown as Context
      documents.admit(document, operationName, variables ?? {}, method)
    })

    const http = handlers({ scope: this, documents, format, contextOf: request => context(callOf(fastify, request), false) })
    const socket = graphqlSocket({ schema, documents, format, contextOf: (request, tooSlow) => context(callOf(fastify, request, tooSlow), true) })
    // Without a token one is nobody, and the fields say what that is good for; with one it has to be valid, as everywhere.
    const authenticate = async (request: FastifyRequest) => request.ws ? await byTicket(request) : NOBODY
    this.get('', { config: { scopes: [], authenticate, socket }, schema: { ...hidden, querystring: Query } }, http.get)
    this.post('', { config: { scopes: [], authenticate }, schema: { ...hidden, body: Body } }, http.post)
  })
}

export default fp(graphql, { name: 'graphql', dependencies: ['config', 'errors', 'auth', 'body', 'events', 'websocket'] })

import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import type { FastifyHttpOptions } from 'fastify'
import type { Config } from './plugins/config/index.ts'
import { statusProblem } from './plugins/errors/catalogue.ts'
import { answerClientError } from './server/client-error.ts'
import { RequestLog, loggerOptions } from './server/logger.ts'
import { rawProblem } from './server/raw-problem.ts'
import { traceOf } from './server/trace.ts'
import { buildSerializer } from './server/serializer.ts'
import { buildValidator } from './server/validator.ts'

const MAX_HEADER_BYTES = 16 * 1024
const MAX_PARAM_LENGTH = 200
const MAX_HEADERS_MS = 15_000
const CHECK_MS = 2_000
const KEEP_ALIVE_MS = 72_000
/** For the embedded database's first start on a busy machine. */
const PLUGIN_TIMEOUT_MS = 60_000
const REQUEST_ID = /^[\w.:@/+=-]{8,64}$/

/**
 * The options of the HTTP server: the one place that start, tests, bench and
 * the OpenAPI emitter take them from.
 */
export function serverOptions (config: Config): FastifyHttpOptions<Server> {
  return {
    logger: loggerOptions(config),
    logController: new RequestLog({ requestIdLogLabel: 'requestId' }),
    requestIdHeader: false,
    genReqId: requestId,
    trustProxy: config.TRUST_PROXY.length > 0 ? config.TRUST_PROXY : false,
    pluginTimeout: PLUGIN_TIMEOUT_MS,
    bodyLimit: config.BODY_LIMIT,
    requestTimeout: config.REQUEST_TIMEOUT_MS,
    // Longer than the idle time-out of common load balancers, so that they close first.
    keepAliveTimeout: KEEP_ALIVE_MS,
    // A missing Host is refused by plugins/host.ts, with a problem instead of Node's bare 400.
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      requireHostHeader: false,
      // Anything but a WebSocket, such as h2c, is answered as if no upgrade had been asked for (RFC 9110, 7.8).
      shouldUpgradeCallback: isWebSocket,
      headersTimeout: Math.min(config.REQUEST_TIMEOUT_MS, MAX_HEADERS_MS),
      // How often Node looks for requests that are late; its default of 30 s would let a time-out of 1 s pass.
      connectionsCheckingInterval: Math.min(config.REQUEST_TIMEOUT_MS, CHECK_MS)
    },
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    schemaController: { compilersFactory: { buildValidator, buildSerializer } },
    allowErrorHandlerOverride: false,
    // Requests that arrive on open connections during shutdown are answered as usual, with `Connection: close`.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, { server, id, raw, headers: { origin } }, reply) => {
      const status = error.statusCode ?? 400
      const { headers, body } = rawProblem(statusProblem(status, status === 400 ? 'The URL is malformed.' : undefined), server, id, traceOf(raw))
      const cors = server.hasDecorator('corsHeaders') ? server.getDecorator<(origin?: string) => Record<string, string>>('corsHeaders')(origin) : {}
      // The connection of a request for an upgrade is no HTTP connection any more: nobody else would end it.
      reply.raw.writeHead(status, { ...headers, ...cors }).end(body, () => { if (isWebSocket.call(server.server as Server, raw)) raw.socket.end() })
    }
  }
}

/** Whether a request may become a WebSocket: where nobody serves them it is answered as any other. */
function isWebSocket (this: Server, { method, headers }: IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket' && this.listenerCount('upgrade') > 0
}

/** The client's X-Request-Id when it is well-formed, else a new one. */
function requestId (request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
}

import { randomUUID } from 'node:crypto'
import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyHttpOptions, FastifyInstance } from 'fastify'
import type { Config } from './plugins/config/index.ts'
import { PROBLEM_TYPE, problemBody, type ProblemInput } from './plugins/errors/problem.ts'
import { statusProblem } from './plugins/errors/catalogue.ts'
import { RequestLog, loggerOptions } from './server/logger.ts'
import { buildValidator } from './server/validator.ts'

const MAX_HEADER_BYTES = 16 * 1024
const MAX_PARAM_LENGTH = 200
const MAX_HEADERS_MS = 15_000
const CHECK_MS = 2_000
const KEEP_ALIVE_MS = 72_000
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
    schemaController: { compilersFactory: { buildValidator } },
    allowErrorHandlerOverride: false,
    // Requests that arrive on open connections during shutdown are answered as usual, with `Connection: close`.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => {
      const status = error.statusCode ?? 400
      const { headers, body } = rawProblem(statusProblem(status, status === 400 ? 'The URL is malformed.' : undefined), request.server, request.id)
      // The connection of a request for an upgrade is no HTTP connection any more: nobody else would end it.
      const { socket } = request.raw
      reply.raw.writeHead(status, headers).end(body, () => { if (isWebSocket.call(request.server.server as Server, request.raw)) socket.end() })
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

/** Answers what the HTTP parser refused; there is no request yet. */
function answerClientError (this: FastifyInstance, error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  if (!socket.writable) return void socket.destroy()
  const status = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[error.code ?? ''] ?? 400
  const { headers, body } = rawProblem(statusProblem(status), this, randomUUID())
  this.log.info({ code: error.code, status }, 'request refused by the HTTP parser')
  const lines = Object.entries({ ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' })
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
}

function rawProblem (problem: ProblemInput, fastify: FastifyInstance, id: string): { headers: Record<string, string>, body: string } {
  const secure = fastify.hasDecorator('securityHeaders') ? fastify.getDecorator<Record<string, string>>('securityHeaders') : {}
  return {
    headers: { ...secure, 'content-type': PROBLEM_TYPE, 'x-request-id': id },
    body: JSON.stringify(problemBody(problem, id))
  }
}

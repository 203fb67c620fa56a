import { createRequire } from 'node:module'
import { LogController, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import type { Config } from '../plugins/config/index.ts'
import { traceOf } from './trace.ts'

const SECRETS = ['authorization', 'cookie', 'password', 'passwordHash', 'accessToken', 'refreshToken', 'token', 'secret', 'privateKey']

// Not imported: production does not have it in memory.
const requirePretty = () => createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty')

/** JSON lines in production, readable ones in development; secrets are redacted wherever they stand in a logged object. */
export function loggerOptions (config: Config): FastifyServerOptions['logger'] {
  return {
    level: config.LOG_LEVEL,
    redact: { paths: SECRETS.flatMap(name => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]), censor: '[redacted]' },
    serializers: { req: request => ({ method: request.method, path: pathOf(request) }) },
    ...config.NODE_ENV === 'development' ? { stream: requirePretty()({ sync: true, singleLine: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss' }) } : {}
  }
}

/** What a request and its reply have from plugins that may not be there. */
interface Known { user?: { id?: string } | null }
interface Answering { essential?: boolean }
interface Extended { eventStream?: { events: number, end?: string }, isShed?: boolean }

/** One structured line a request, when it is answered; of a stream, when it ends. */
export class RequestLog extends LogController {
  /** No line, but the trace for those to come. */
  override incomingRequest ({ raw, log }: FastifyRequest): void {
    const traceId = traceOf(raw)
    if (traceId !== undefined) (log as { setBindings?: (bindings: object) => void }).setBindings?.({ traceId })
  }

  override routeNotFound (): void {}

  override requestCompleted (error: Error | null | undefined, request: FastifyRequest, reply: FastifyReply): void {
    const { eventStream: stream, isShed } = reply as Extended
    const line = {
      ...requestLine(request, reply),
      status: reply.statusCode,
      ...stream ? { events: stream.events, end: stream.end ?? 'refused' } : error ? { err: error } : {}
    }
    // That the service is not ready is an answer like any other.
    const isFault = reply.statusCode >= 500 && !(reply.statusCode === 503 && (request.routeOptions.config as Answering).essential === true)
    request.log[isShed ? 'debug' : isFault ? 'error' : 'info'](line, 'request')
  }
}

/** What a line of the log says of a request. */
export function requestLine (request: FastifyRequest, reply: FastifyReply): Record<string, unknown> {
  return {
    method: request.method,
    route: request.routeOptions.url ?? null,
    path: pathOf(request),
    durationMs: Math.round(reply.elapsedTime * 100) / 100,
    userId: (request as Known).user?.id
  }
}

// A query may hold what is personal or secret; it is not logged.
function pathOf (request: FastifyRequest): string {
  return request.originalUrl.split('?', 1)[0] ?? ''
}

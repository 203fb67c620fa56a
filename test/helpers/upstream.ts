import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import config, { loadConfig, type Config } from '../../plugins/config/index.ts'
import deadline from '../../plugins/deadline.ts'
import errors from '../../plugins/errors/index.ts'
import http, { HttpCallError, type CallDeadline, type HttpOptions } from '../../plugins/http/index.ts'
import shutdown from '../../plugins/shutdown.ts'
import { serverOptions } from '../../server.ts'

/** Another service, on a socket of its own. */
export interface Upstream {
  url: string
  /** What came, in order. */
  requests: { method: string, url: string, headers: IncomingMessage['headers'], body: string }[]
  /** Connections there were. */
  connections: () => number
  /** Connections there are. */
  open: () => number
  /** What a request is answered with; `{}` if this is not set. */
  answer?: (request: IncomingMessage, response: ServerResponse, count: number) => void
}

/** Starts an upstream. Ends with the test. */
export async function startUpstream (t: Test, { host = '127.0.0.1', port = 0 } = {}): Promise<Upstream> {
  let connections = 0
  let open = 0
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const count = upstream.requests.push({ method, url, headers, body })
    if (upstream.answer) upstream.answer(request, response, count)
    else json(response, {})
  })
  server.on('connection', socket => {
    connections++
    open++
    socket.once('close', () => { open-- })
  })
  await new Promise<void>(resolve => server.listen(port, host, resolve))
  const upstream: Upstream = { url: `http://${host}:${(server.address() as AddressInfo).port}`, requests: [], connections: () => connections, open: () => open }
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return upstream
}

export function json (response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

/** The HTTP client with what it stands on, and nothing else. Ends with the test. */
export async function withHttp (t: Test, overrides: Partial<Config> = {}, { resolve, stream, extend }: HttpOptions & { stream?: NodeJS.WritableStream, extend?: (app: FastifyInstance) => void } = {}): Promise<FastifyInstance> {
  const settings = { ...loadConfig({ NODE_ENV: 'test', LOG_LEVEL: stream ? 'info' : 'silent' }), ...overrides }
  const options = serverOptions(settings)
  const app = Fastify({ ...options, ...stream ? { logger: { ...options.logger as object, stream } } : {} }) as unknown as FastifyInstance
  await app.register(config, { config: settings })
  await app.register(errors)
  await app.register(shutdown)
  await app.register(deadline)
  await app.register(http, { resolve })
  extend?.(app)
  await app.ready()
  t.teardown(() => app.close().catch(() => {}))
  return app
}

/** The error that a call fails with. */
export async function failureOf (call: Promise<unknown>): Promise<HttpCallError> {
  const outcome = await call.then(() => undefined, error => error)
  if (!(outcome instanceof HttpCallError)) throw new Error('not an HttpCallError', { cause: outcome })
  return outcome
}

/** A deadline as `request.deadline` is one. */
export function deadlineOf (ms: number): CallDeadline {
  const at = performance.now() + ms
  return { signal: AbortSignal.timeout(ms), remainingMs: () => Math.max(0, at - performance.now()) }
}

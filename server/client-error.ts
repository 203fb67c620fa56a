import { randomUUID } from 'node:crypto'
import { STATUS_CODES, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { statusProblem } from '../plugins/errors/catalogue.ts'
import { rawProblem } from './raw-problem.ts'

/** The response that a connection waits for; Node's own handler of such errors looks at it as well. */
type Connection = Socket & { _httpMessage?: ServerResponse | null }

const refused = new WeakSet<Socket>()

/** Answers what the HTTP parser refused; there is no request yet. */
export function answerClientError (this: FastifyInstance, error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  if (!socket.writable) return void socket.destroy()
  // The parser complains of everything that comes after it has given up.
  if (refused.has(socket)) return
  refused.add(socket)
  const status = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[error.code ?? ''] ?? 400
  this.log.info({ code: error.code, status }, 'request refused by the HTTP parser')
  const { headers, body } = rawProblem(statusProblem(status), this, randomUUID())
  const lines = Object.entries({ ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' })
  endInTurn(socket, `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
}

/** Sends the last answer of a connection once the requests before it have theirs: it would be taken for one of those. */
function endInTurn (socket: Connection, answer: string): void {
  const running = socket._httpMessage
  if (!socket.writable) return
  if (!running) return void socket.end(answer)
  if (running.req.complete) return void running.once('finish', () => endInTurn(socket, answer))
  // The request that is refused is the one that runs, waiting for the rest of its body.
  if (running.headersSent) socket.destroy()
  else socket.end(answer)
}

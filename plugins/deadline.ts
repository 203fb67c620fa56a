import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { requestLine } from '../server/logger.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** By when the request has to be answered, for what works on it. */
    deadline: Deadline
  }
}

/** The header with which a client says, in milliseconds, for how long it waits. */
const HEADER = 'x-request-timeout-ms'
const DETAIL = 'X-Request-Timeout-Ms must be a whole number of milliseconds, at least 1.'

/**
 * A deadline for every request: REQUEST_TIMEOUT_MS after its head, or earlier where the client says so.
 * Then it is answered with 503 DEADLINE_EXCEEDED, and its signal fires; the signal also fires when the
 * client hangs up. What is answered in time, or streams, or has become a WebSocket, is left alone.
 *
 * (Fastify's own `handlerTimeout` ends with the body of a request, not with its answer.)
 */
async function deadlines (fastify: FastifyInstance) {
  const longest = fastify.config.REQUEST_TIMEOUT_MS
  fastify.decorateRequest('deadline')
  fastify.addHook('onRequest', (request, reply, done) => {
    const asked = request.headers[HEADER]
    if (asked !== undefined && !/^0*[1-9]\d{0,9}$/.test(String(asked))) return void reply.problem(400, DETAIL)
    request.deadline = new Deadline(request, reply, asked === undefined ? longest : Math.min(longest, Number(asked)))
    done()
  })
}

class Deadline {
  readonly #at: number
  #control: AbortController | undefined
  #reason: Error | undefined

  constructor (request: FastifyRequest, reply: FastifyReply, ms: number) {
    this.#at = performance.now() + ms
    const timer = setTimeout(() => this.#expire(request, reply, ms), ms)
    reply.raw.once('close', () => {
      clearTimeout(timer)
      if (reply.raw.writableEnded || reply.sent) return
      this.#abort(new Error('The client has hung up.'))
      // Without an answer it has no other line.
      request.log.info(requestLine(request, reply), 'the client hung up')
      // What the handler still gives is nobody's, and no mistake of it.
      reply.hijack()
      reply.send = () => reply
    })
  }

  /** Fires when nobody waits for the answer any more. */
  get signal (): AbortSignal {
    if (this.#control === undefined) {
      this.#control = new AbortController()
      if (this.#reason) this.#control.abort(this.#reason)
    }
    return this.#control.signal
  }

  /** Milliseconds that are left, at least 0. */
  remainingMs (): number {
    return Math.max(0, this.#at - performance.now())
  }

  #expire (request: FastifyRequest, reply: FastifyReply, ms: number): void {
    // Of a request that is late itself Node says so (408).
    if (reply.sent || reply.raw.headersSent || request.raw.complete === false) return
    const reason = `There was no answer within ${ms} ms.`
    this.#abort(new Error(reason))
    if (reply.sent) return
    reply.problem('DEADLINE_EXCEEDED', reason)
    reply.hijack()
  }

  #abort (reason: Error): void {
    this.#reason ??= reason
    this.#control?.abort(this.#reason)
  }
}

export type { Deadline }
export default fp(deadlines, { name: 'deadline', dependencies: ['config', 'errors'] })

import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify'
import fp from 'fastify-plugin'
import { requestLine } from '../server/logger.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Milliseconds in which a request has to arrive and to be answered, where REQUEST_TIMEOUT_MS is too short. */
    timeoutMs?: number
  }
  interface FastifyRequest {
    /** By when the request has to be answered, for what works on it. */
    deadline: Deadline
  }
}

/** The header with which a client says, in milliseconds, for how long it waits. */
const HEADER = 'x-request-timeout-ms'
const DETAIL = 'X-Request-Timeout-Ms must be a whole number of milliseconds, at least 1.'

/**
 * A deadline for every request: REQUEST_TIMEOUT_MS after its head (or what its route says), or earlier where the
 * client says so. Then it is answered with 503 DEADLINE_EXCEEDED, and its signal fires; the signal also fires when the
 * client hangs up. What is answered in time, or streams, or has become a WebSocket, is left alone.
 * A request that has not arrived by then is answered with 408, and its connection ends.
 *
 * (Fastify's own `handlerTimeout` ends with the body of a request, not with its answer.)
 */
async function deadlines (fastify: FastifyInstance) {
  const { config, server } = fastify
  fastify.decorateRequest('deadline')
  // Node has one time-out for all requests to arrive in: it becomes the longest. What is shorter is seen to here.
  fastify.addHook('onRoute', route => {
    server.requestTimeout = Math.max(server.requestTimeout, route.config?.timeoutMs ?? 0)
    route.handler = lettingGo(route.handler)
  })
  fastify.addHook('onRequest', (request, reply, done) => {
    const asked = request.headers[HEADER]
    if (asked !== undefined && !/^0*[1-9]\d{0,9}$/.test(String(asked))) return void reply.problem(400, DETAIL)
    const longest = request.routeOptions.config.timeoutMs ?? config.REQUEST_TIMEOUT_MS
    request.deadline = new Deadline(request, reply, longest, asked === undefined ? longest : Math.min(longest, Number(asked)))
    done()
  })
}

/** Fastify drops what a handler returns after its request is over: a stream would stay open. */
function lettingGo (handler: RouteHandlerMethod): RouteHandlerMethod {
  return function (request, reply) {
    const given: unknown = handler.call(this, request, reply)
    if (given instanceof Promise) given.then(stream => { if (request.deadline?.isOver) letGo(stream) }, () => {})
    return given
  }
}

/** What nobody destroys keeps open what it reads, and Node ends a process that loses a file so. */
function letGo (given: unknown): void {
  if (given instanceof Readable) given.destroy()
}

class Deadline {
  readonly #at: number
  #timer: NodeJS.Timeout
  #control: AbortController | undefined
  #reason: Error | undefined

  constructor (request: FastifyRequest, reply: FastifyReply, longest: number, ms: number) {
    this.#at = performance.now() + ms
    this.#timer = setTimeout(() => {
      // What the client says is of the answer: its request may take as long as any to arrive.
      if (isArriving(request) && ms < longest) this.#timer = setTimeout(() => this.#expire(request, reply, longest), longest - ms)
      else this.#expire(request, reply, ms)
    }, ms)
    reply.raw.once('close', () => {
      // Answered before it was all there: the rest has no longer to arrive than all of it had.
      if (isArriving(request) && !request.raw.socket.destroyed) this.#timer.unref()
      else this.end()
      if (reply.raw.writableEnded || reply.sent) return
      this.#abort(new Error('The client has hung up.'))
      // Without an answer it has no other line.
      request.log.info(requestLine(request, reply), 'the client hung up')
      this.#disown(reply)
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

  /** Nobody waits for the answer any more. */
  get isOver (): boolean {
    return this.#reason !== undefined
  }

  /** Milliseconds that are left, at least 0. */
  remainingMs (): number {
    return Math.max(0, this.#at - performance.now())
  }

  /** The request has become something that none holds for: a WebSocket, whose response never closes. */
  end (): void {
    clearTimeout(this.#timer)
  }

  #expire (request: FastifyRequest, reply: FastifyReply, ms: number): void {
    // As Node would do it: the handler of such errors answers with 408.
    if (isArriving(request)) return void request.server.server.emit('clientError', Object.assign(new Error('The request is late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), request.raw.socket)
    if (reply.sent || reply.raw.headersSent) return
    const reason = `There was no answer within ${ms} ms.`
    this.#abort(new Error(reason))
    if (reply.sent) return
    reply.problem('DEADLINE_EXCEEDED', reason)
    this.#disown(reply)
  }

  /**
   * What the handler still gives is nobody's. That it ends because nobody waits, or for what the client has not sent, is no
   * error of it; others are logged.
   */
  #disown (reply: FastifyReply): void {
    const { log, server } = reply
    reply.hijack()
    reply.send = given => {
      letGo(given)
      return reply
    }
    const error = (line: { err?: unknown }, text?: string) => {
      const isFault = line.err !== this.#reason && server.problemOf(line.err).status >= 500
      log[isFault ? 'error' : 'debug'](line, text)
    }
    reply.log = Object.assign(Object.create(log) as typeof log, { error })
  }

  #abort (reason: Error): void {
    this.#reason ??= reason
    this.#control?.abort(this.#reason)
  }
}

/** Whether some of the body is still to come; what is injected has no such thing. */
function isArriving ({ raw }: FastifyRequest): boolean {
  return raw.complete === false
}

export type { Deadline }
export default fp(deadlines, { name: 'deadline', dependencies: ['config', 'errors'] })

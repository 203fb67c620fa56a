import { IncomingMessage, ServerResponse } from 'node:http'
import express, { type ErrorRequestHandler, type RequestHandler } from 'express'
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Answers everything under the instance's prefix by an Express 5 router (or any Express middleware), behind
     * the hooks of this service. What the router passes on is 404; its errors are problems.
     */
    mountExpress: (router: RequestHandler, options: MountOptions) => void
  }
}

export interface MountOptions {
  /** Who may call, as for any route. */
  config: FastifyContextConfig
  /** Those that the router answers. HEAD is answered as GET, OPTIONS by the service. */
  methods?: HTTPMethods[]
}

const METHODS: HTTPMethods[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** Express routers as routes of Fastify. */
async function expressPlugin (fastify: FastifyInstance) {
  fastify.decorate('mountExpress', function (this: FastifyInstance, router, { config, methods = METHODS }) {
    const app = express().disable('x-powered-by')
    app.use(this.prefix || '/', router)
    const limit = this.config.BODY_LIMIT
    // The router's own parsers read the body.
    this.removeAllContentTypeParsers()
    this.addContentTypeParser('*', (_request, _payload, done) => done(null))
    for (const url of ['/', '/*']) {
      this.route({
        method: methods,
        url,
        config,
        // Not in openapi.json: nobody knows what these take and give. With `consumes` the body is left to the handler.
        schema: { hide: true, consumes: ['application/octet-stream'] },
        handler: async (request, reply) => {
          if (Number(request.headers['content-length'] ?? 0) > limit) throw Object.assign(new Error('The body is too large.'), { statusCode: 413 })
          if (!await handled(app, request, reply)) return reply.problem(404, 'There is nothing at this path.')
        }
      })
    }
  })
}

/**
 * Lets the app answer. What it is given of the request is as Keel has it: `req.id`, `req.log`, `req.user`, `req.ip`.
 * @returns false when it passed the request on
 * @throws what it passed to `next`, unless it had begun to answer: then the connection is cut off
 */
async function handled (app: express.Express, request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
  const { raw } = reply
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value)
  for (const [name, value] of Object.entries({ id: request.id, log: request.log, user: request.user, ip: request.ip })) {
    Object.defineProperty(request.raw, name, { value, configurable: true, writable: true })
  }
  keepMethods(request.raw, IncomingMessage.prototype)
  keepMethods(raw, ServerResponse.prototype)
  return await new Promise((resolve, reject) => {
    const answered = () => {
      // Fastify has nothing to send any more.
      reply.hijack()
      resolve(true)
    }
    raw.once('close', answered)
    const next = (error?: unknown) => {
      if (error !== undefined && raw.headersSent) {
        // Too late for another answer.
        request.log.error({ err: error }, 'an Express router failed after the beginning of its answer')
        return raw.destroy()
      }
      raw.off('close', answered)
      if (error === undefined) resolve(false)
      else reject(error instanceof Error ? error : new Error(String(error)))
    }
    app(request.raw as Parameters<ErrorRequestHandler>[1], raw as Parameters<ErrorRequestHandler>[2], next)
  })
}

/** Express puts prototypes of its own over Node's. What stands in for a message (`app.inject` has such) has its methods in its own. */
function keepMethods (message: object, usual: object): void {
  const prototype = Object.getPrototypeOf(message) as object
  if (prototype === usual) return
  const { constructor, ...methods } = Object.getOwnPropertyDescriptors(prototype)
  Object.defineProperties(message, methods)
}

export default fp(expressPlugin, { name: 'express', dependencies: ['config', 'errors', 'body'] })

import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import FindMyWay, { type HTTPMethod } from 'find-my-way'

/**
 * What no route answers: 404; 405 with `Allow` where the path exists for other
 * methods, and 204 with `Allow` for OPTIONS there (RFC 9110, 9.3.7 and 15.5.6).
 * A parameter of a path is never empty: /products/ is no product.
 */
async function notFound (fastify: FastifyInstance) {
  const known = FindMyWay()
  const methods = new Set<HTTPMethod>()

  fastify.addHook('onRoute', route => {
    const { method, url } = route
    if (url.includes('/:')) {
      // The router takes the nothing in /products/ for a parameter.
      route.onRequest = [...[route.onRequest ?? []].flat(), emptyIsNotFound]
      fastify.declareProblems(route, 404)
    }
    for (const name of [method].flat() as HTTPMethod[]) {
      // The wildcard OPTIONS route of CORS says nothing of the paths that exist.
      if (name === 'OPTIONS' && url === '*') continue
      methods.add(name)
      if (!known.hasRoute(name, url)) known.on(name, url, () => {})
    }
  })

  function allowed (request: FastifyRequest): string[] {
    const path = request.url.split('?', 1)[0] ?? '/'
    const found = [...methods].filter(name => {
      const match = known.find(name, path)
      return match !== null && !hasEmpty(match.params)
    })
    return found.length > 0 ? [...found, 'OPTIONS'].sort() : []
  }

  function answer (request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const allow = allowed(request)
    if (allow.length === 0) return reply.problem(404, 'There is nothing at this path.')
    reply.header('allow', allow.join(', '))
    if (request.method === 'OPTIONS') return reply.code(204).send()
    return reply.problem(405, `This resource supports ${allow.join(', ')}.`)
  }

  // Guessing paths counts like any other request, where requests are counted.
  let limit: preHandlerAsyncHookHandler | undefined
  fastify.addHook('onReady', async () => {
    if (fastify.hasDecorator('rateLimit')) limit = fastify.getDecorator<() => preHandlerAsyncHookHandler>('rateLimit').call(fastify)
  })
  fastify.setNotFoundHandler({ preHandler: async (request: FastifyRequest, reply: FastifyReply) => await limit?.call(fastify, request, reply) }, answer)
}

/** Whether a parameter (not the rest of a path, which may be nothing) is empty. */
function hasEmpty (params: Record<string, string | undefined>): boolean {
  for (const name in params) if (params[name] === '' && name !== '*') return true
  return false
}

const emptyIsNotFound: onRequestHookHandler = (request, reply, done) => {
  if (hasEmpty(request.params as Record<string, string>)) reply.callNotFound()
  else done()
}

export default fp(notFound, { name: 'not-found', dependencies: ['errors'] })

import type { FastifyInstance, FastifyRequest } from 'fastify'

/** Invalidates the tags that a route names, when its handler is done: before the answer goes out. */
export function invalidateAfter (fastify: FastifyInstance): void {
  fastify.addHook('onRoute', route => {
    const templates = route.config?.invalidates
    if (templates === undefined) return
    const begun = new WeakSet<FastifyRequest>()
    const invalidate = async (request: FastifyRequest) => { await fastify.cache.invalidate(...templates.flatMap(template => tagOf(template, request.params) ?? [])) }
    const { handler } = route
    route.handler = async function (request, reply) {
      begun.add(request)
      try {
        return await handler.call(this, request, reply)
      } finally {
        // Also of what is committed after the deadline of the request has passed, or before something fails.
        begun.delete(request)
        await invalidate(request)
      }
    }
    // A handler may send by itself. Who is refused before it has changed nothing.
    route.onSend = [...[route.onSend ?? []].flat(), async (request: FastifyRequest) => { if (begun.has(request)) await invalidate(request) }]
  })
}

/** The tag with the parameters of a path; undefined when the path has not all of them. */
function tagOf (template: string, params: unknown): string | undefined {
  let isWhole = true
  const tag = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = (params as Record<string, unknown>)[name]
    if (value === undefined) isWhole = false
    return String(value)
  })
  return isWhole ? tag : undefined
}

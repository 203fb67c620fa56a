import type { FastifyReply, FastifyRequest } from 'fastify'

/** Points to the next page (RFC 8288) with the query of this one. Gives the page back. */
export function linkNext<Page extends { nextCursor: string | null }> (request: FastifyRequest, reply: FastifyReply, page: Page): Page {
  if (page.nextCursor !== null) {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost')
    searchParams.set('cursor', page.nextCursor)
    reply.header('link', `<${pathname}?${searchParams}>; rel="next"`)
  }
  return page
}

import type { FastifyInstance, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'

/** When a route became deprecated, when it goes, and where to read about it. */
export interface Deprecation {
  /** The day from which it is deprecated, such as 2026-11-01 (UTC). */
  since: string
  /** The day from which it may be gone. */
  sunset: string
  /** A page for those who call it: what to use instead. */
  link?: string
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route is on its way out: its answers and the OpenAPI document say so. */
    deprecated?: Deprecation
  }
}

const DAY = /^\d{4}-\d{2}-\d{2}$/

/** `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and a link on the answers of routes that declare it. */
async function deprecation (fastify: FastifyInstance) {
  fastify.addHook('onRoute', route => {
    const declared = route.config?.deprecated
    if (!declared) return
    const { link, ...headers } = headersOf(route, declared)
    route.schema = { ...route.schema, deprecated: true }
    route.onRequest = [...[route.onRequest ?? []].flat(), (_request, reply, done) => {
      reply.headers(headers)
      done()
    }]
    if (link === undefined) return
    // At the end: the answer may have links of its own, and one header holds them all.
    route.onSend = [...[route.onSend ?? []].flat(), (_request, reply, payload, done) => {
      reply.header('link', [reply.getHeader('link') ?? [], link].flat().join(', '))
      done(null, payload)
    }]
  })
}

function headersOf (route: RouteOptions, { since, sunset, link }: Deprecation): { deprecation: string, sunset: string, link?: string } {
  const [from, until] = [since, sunset].map(day => dateOf(route, day)) as [Date, Date]
  if (until < from) throw new Error(`${String(route.method)} ${route.url}: it is deprecated since ${since}, after its sunset on ${sunset}`)
  return {
    deprecation: `@${from.getTime() / 1000}`,
    sunset: until.toUTCString(),
    ...link === undefined ? {} : { link: `<${new URL(link, 'http://localhost').href.replace(/^http:\/\/localhost(?=\/)/, '')}>; rel="deprecation"; type="text/html"` }
  }
}

/** The start of a day. 2026-02-30 is none, whatever Date makes of it. */
function dateOf (route: RouteOptions, day: string): Date {
  const date = new Date(`${day}T00:00:00Z`)
  if (!DAY.test(day) || Number.isNaN(date.getTime()) || !date.toISOString().startsWith(day)) {
    throw new Error(`${String(route.method)} ${route.url}: config.deprecated takes days such as 2026-11-01, not "${day}"`)
  }
  return date
}

export default fp(deprecation, { name: 'deprecation' })

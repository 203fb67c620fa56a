import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, onResponseHookHandler } from 'fastify'
import { Counter, Gauge, type Registry } from 'prom-client'
import { traceOf } from '../../server/trace.ts'
import { Durations, type Series } from './durations.ts'

/** What a reply has from a plugin that may not be there. */
interface Streamed { eventStream?: object }

/** The label of whatever no route answers: strangers choose such paths and methods. */
const UNKNOWN = 'unknown'

/** Requests: how long, how many at a time, and how many clients did not wait. */
export function observeRequests (fastify: FastifyInstance, registry: Registry): void {
  const durations = new Durations(registry, 'http_request_duration_seconds', 'From the head of a request until its answer is sent, event streams left out')
  let open = 0
  let left = 0
  gauge(registry, 'http_requests_in_flight', 'Requests under way, event streams among them, WebSockets not', () => open)
  const aborted = new Counter({ name: 'http_requests_aborted_total', help: 'Requests whose client left before the answer began', registers: [registry], collect: () => { aborted.reset(); aborted.inc(left) } })

  /** The hook of a route: its series are looked up by status, once each. */
  function observer (method: string, route: string): onResponseHookHandler {
    const byStatus: Series[] = []
    return (request: FastifyRequest, reply: FastifyReply & Streamed, done) => {
      if (reply.eventStream === undefined) {
        const status = reply.statusCode
        const series = byStatus[status] ??= durations.series({ method, route, status })
        series.observe(reply.elapsedTime / 1000, traceOf(request.raw))
      }
      done()
    }
  }

  fastify.addHook('onRoute', route => {
    const method = typeof route.method === 'string' ? route.method : 'any'
    route.onResponse = [...[route.onResponse ?? []].flat(), observer(method, route.url)]
  })

  const observeUnknown = observer(UNKNOWN, UNKNOWN)
  fastify.addHook('onResponse', function (request, reply, done) {
    if (request.is404) observeUnknown.call(this, request, reply, done)
    else done()
  })

  // One function for all: a client that leaves has no onResponse hook, but every response is closed.
  function leave (this: ServerResponse): void {
    open--
    if (!this.headersSent) left++
  }
  fastify.addHook('onRequest', ({ raw }, reply, done) => {
    // What becomes a WebSocket takes the connection with it: its response is never closed.
    if ((raw as { upgrade?: boolean }).upgrade !== true) {
      open++
      reply.raw.on('close', leave)
    }
    done()
  })
}

/** A gauge that is read when it is asked for. */
export function gauge (registry: Registry, name: string, help: string, read: () => number): void {
  const metric: Gauge = new Gauge({ name, help, registers: [registry], collect: () => metric.set(read()) })
}

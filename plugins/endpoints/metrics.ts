import { BlockList, isIPv6 } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Type } from 'typebox'
import { holdsToken } from '../config/token.ts'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Prometheus's text at /metrics, where METRICS_PORT does not answer it. */
async function metrics (fastify: FastifyInstance) {
  const { config: { METRICS_PORT, METRICS_TOKEN }, metrics } = fastify
  if (!metrics.isOn || METRICS_PORT !== undefined) return
  const text = Type.String({ maxLength: 10_000_000, pattern: '^[\\s\\S]*$', examples: ['# HELP http_requests_in_flight Requests under way\n# TYPE http_requests_in_flight gauge\nhttp_requests_in_flight 1\n'] })

  fastify.get('/metrics', {
    config: { public: true, rateLimit: false, essential: true },
    schema: {
      operationId: 'getMetrics',
      summary: 'What Prometheus scrapes',
      description: 'For the holder of the metrics token, `Authorization: Bearer …`; in development without one, for this machine.',
      tags: ['health'],
      response: {
        200: {
          description: 'The metrics; OpenMetrics, with exemplars, for who accepts it',
          content: { 'text/plain': { schema: text }, 'application/openmetrics-text': { schema: text } }
        },
        401: { $ref: 'Problem#' }
      }
    }
  }, async (request, reply) => {
    const admitted = METRICS_TOKEN === undefined ? isFromHere(request) : holdsToken(request.headers.authorization, METRICS_TOKEN)
    if (!admitted) return reply.problem(401, METRICS_TOKEN === undefined ? 'Set METRICS_TOKEN to read the metrics from another machine.' : 'This takes the metrics token.')
    const { type, text } = await metrics.scrape(request.headers.accept)
    return reply.type(type).header('cache-control', 'no-store').header('vary', 'Accept').send(text)
  })
}

/** Of the connection: what a proxy says of others counts for nothing here. */
function isFromHere ({ socket: { remoteAddress = '' } }: FastifyRequest): boolean {
  return loopback.check(remoteAddress, isIPv6(remoteAddress) ? 'ipv6' : 'ipv4')
}

export default fp(metrics, { name: 'metrics-endpoint', dependencies: ['config', 'errors', 'metrics'] })

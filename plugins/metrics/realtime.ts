import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import { gauge } from './http.ts'

/** Event streams and WebSockets that are open. */
export function observeRealtime (fastify: FastifyInstance, registry: Registry): void {
  fastify.addHook('onReady', async () => {
    if (fastify.hasDecorator('eventStreams')) gauge(registry, 'sse_connections', 'Open event streams', () => fastify.eventStreams.size)
    if (fastify.hasDecorator('sockets')) gauge(registry, 'websocket_connections', 'Open WebSockets', () => fastify.sockets.size)
  })
}

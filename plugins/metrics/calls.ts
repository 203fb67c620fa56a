import type { FastifyInstance } from 'fastify'
import { Histogram, type Registry } from 'prom-client'
import { hear } from './channel.ts'

const SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Calls of other services. */
export function observeCalls (fastify: FastifyInstance, registry: Registry): void {
  const calls = new Histogram({ name: 'http_client_call_duration_seconds', help: 'Calls of other services, retries and all, by how they ended: done, or the code of the error', labelNames: ['origin', 'outcome'], buckets: SECONDS, registers: [registry] })
  hear<{ origin: string, outcome: string, durationMs: number }>(fastify, 'keel:http-call', ({ origin, outcome, durationMs }) => calls.observe({ origin, outcome }, durationMs / 1000))
}

import { channel } from 'node:diagnostics_channel'
import type { FastifyRequest } from 'fastify'
import { traceIdOf } from '../../server/trace.ts'

const MAX_TRACESTATE = 512
const created = channel('undici:request:create')
const OTEL = Symbol.for('opentelemetry.js.api.1')

/** The trace of a request, for what is called for it. What is not well-formed is left out. */
export function traceOf ({ headers: { traceparent, tracestate } }: FastifyRequest): Record<string, string> {
  if (typeof traceparent !== 'string' || traceIdOf(traceparent) === undefined) return {}
  return { traceparent, ...typeof tracestate === 'string' && tracestate !== '' && tracestate.length <= MAX_TRACESTATE ? { tracestate } : {} }
}

/** Whether OpenTelemetry has its own instrumentation of undici, which adds these headers itself. */
export function isInstrumented (): boolean {
  return created.hasSubscribers && (globalThis as { [OTEL]?: { propagation?: unknown } })[OTEL]?.propagation !== undefined
}

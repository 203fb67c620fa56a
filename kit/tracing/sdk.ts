// OpenTelemetry. What it instruments is patched in place or has diagnostics channels, so that no loader hook is
// needed, for ESM either.
import { createRequire } from 'node:module'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { SpanKind, SpanStatusCode, context, propagation, trace, type Span } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { registerInstrumentations } from '@opentelemetry/instrumentation'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { PrismaInstrumentation } from '@prisma/instrumentation'
import type { FastifyRequest } from 'fastify'
import { setTracing, traceOf, type Carrier } from '../../server/trace.ts'
import { discreet } from './discreet.ts'
import { sampler } from './sampler.ts'
import { serviceResource } from './service.ts'

/** Asked every few seconds, by whom nobody wants traces of. */
const PROBES = /^\/(?:health\/|metrics(?:$|\?))/

let onFailure = (_error: Error | undefined): void => {}

const provider = new NodeTracerProvider({
  resource: serviceResource(),
  sampler: sampler(process.env.OTEL_TRACES_SAMPLER, process.env.OTEL_TRACES_SAMPLER_ARG),
  spanProcessors: [new BatchSpanProcessor(discreet(new OTLPTraceExporter(), error => onFailure(error)))]
})
provider.register({ propagator: new W3CTraceContextPropagator() })

registerInstrumentations({
  tracerProvider: provider,
  instrumentations: [
    // A span a hook would be a dozen a request. The log has the errors.
    new FastifyOtelInstrumentation({ registerOnInitialization: true, instrumentHooks: false, instrumentHandler: false, recordExceptions: false, ignorePaths: ({ url }) => PROBES.test(url), requestHook: begin }),
    new PgInstrumentation({ requireParentSpan: true }),
    new PrismaInstrumentation(),
    new UndiciInstrumentation({ requireParentforSpans: true })
  ]
})
// Here it is patched; whoever imports it gets the same classes.
createRequire(import.meta.url)('pg')

setTracing({
  inJob: async ({ queue, id, attempt, system = 'pg-boss' }, carrier, run, isDone) => {
    const attributes = { 'messaging.system': system, 'messaging.operation.type': 'process', 'messaging.destination.name': queue, 'messaging.message.id': id, 'messaging.delivery.attempt': attempt }
    const parent = propagation.extract(context.active(), carrier)
    return await trace.getTracer('keel').startActiveSpan(`process ${queue}`, { kind: SpanKind.CONSUMER, attributes }, parent, async span => {
      try {
        const result = await run(carrierOf(span))
        if (!isDone(result)) span.setStatus({ code: SpanStatusCode.ERROR })
        return result
      } finally {
        span.end()
      }
    })
  },
  report: listener => { onFailure = listener },
  end: async () => await provider.shutdown()
})

/** The request carries its span from here on: the log, the problems and the jobs take the trace from there. */
function begin (span: Span, request: FastifyRequest): void {
  const { method, routeOptions: { url }, raw, log } = request
  span.updateName(url === undefined ? method : `${method} ${url}`)
  const given = traceOf(raw)
  Object.assign(raw.headers, carrierOf(span))
  const traceId = traceOf(raw)
  if (traceId !== undefined && traceId !== given) (log as { setBindings?: (bindings: object) => void }).setBindings?.({ traceId })
}

function carrierOf (span: Span): Carrier {
  const carrier: Carrier = {}
  propagation.inject(trace.setSpan(context.active(), span), carrier)
  return carrier
}

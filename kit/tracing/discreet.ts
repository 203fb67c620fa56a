import { SpanKind, SpanStatusCode, type Attributes, type SpanStatus } from '@opentelemetry/api'
import { ExportResultCode } from '@opentelemetry/core'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node'

/** Attributes that hold a query, which may have a ticket or an address in it, or what a database or a stranger said. */
const CUT = ['url.path', 'url.full', 'http.target', 'http.url']
const DROPPED = ['url.query', 'exception.message', 'exception.stacktrace']

/** An exporter whose spans hold nothing that was sent: no query of a URL, no path of another's, no text of an error. The log has the errors. */
export function discreet (exporter: SpanExporter, onFailure: (error: Error | undefined) => void): SpanExporter {
  return {
    export: (spans, done) => exporter.export(spans.map(clean), result => {
      if (result.code === ExportResultCode.FAILED) onFailure(result.error)
      done(result)
    }),
    shutdown: async () => await exporter.shutdown(),
    forceFlush: async () => await exporter.forceFlush?.()
  }
}

function clean (span: ReadableSpan): ReadableSpan {
  return Object.create(span, {
    attributes: { value: without(span.attributes, span.kind === SpanKind.CLIENT) },
    events: { value: span.events.map(event => ({ ...event, attributes: without(event.attributes ?? {}, false) })) },
    status: { value: statusOf(span) }
  }) as ReadableSpan
}

/** Of what others are asked, the origin: the path of a webhook may be its secret. */
function without (attributes: Attributes, isOutgoing: boolean): Attributes {
  const entries = Object.entries(attributes).filter(([name]) => !DROPPED.includes(name) && !(isOutgoing && name === 'url.path'))
  return Object.fromEntries(entries.map(([name, value]) => [name, CUT.includes(name) ? cut(String(value), isOutgoing) : value]))
}

function cut (text: string, isOutgoing: boolean): string {
  return isOutgoing ? URL.parse(text)?.origin ?? '' : text.split('?', 1)[0] ?? ''
}

/** What the service refuses is no error of it (the HTTP conventions of OpenTelemetry). */
function statusOf ({ kind, status: { code }, attributes }: ReadableSpan): SpanStatus {
  return { code: kind === SpanKind.SERVER && Number(attributes['http.response.status_code']) < 500 ? SpanStatusCode.UNSET : code }
}

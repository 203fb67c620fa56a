import { traceIdOf } from '../../server/trace.ts'

/** Where a job comes from, for its log lines. */
export interface Origin { requestId?: string, traceparent?: string }

/** What is stored of a job: its payload, the id that stays with it through the dead letter queue, and its origin. */
export interface Envelope extends Origin { id?: string, payload: unknown }

/** Reads what is stored; anything at all may be there (an older release, an operator's SQL). */
export function readEnvelope (data: unknown): Envelope {
  const { id, payload, requestId, traceparent } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>
  return { id: text(id), payload, requestId: text(requestId), traceparent: text(traceparent) }
}

/** What the log lines of a job say of its origin. */
export function bindingsOf ({ requestId, traceparent }: Origin): { requestId?: string, traceId?: string } {
  const traceId = traceIdOf(traceparent)
  return { ...requestId === undefined ? {} : { requestId }, ...traceId === undefined ? {} : { traceId } }
}

function text (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

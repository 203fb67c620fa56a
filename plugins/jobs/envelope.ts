import type { Origin } from '../../server/trace.ts'

/** What is stored of a job: its payload, the id that stays with it through the dead letter queue, and its origin. */
export interface Envelope extends Origin { id?: string, payload: unknown }

/** Reads what is stored; anything at all may be there (an older release, an operator's SQL). */
export function readEnvelope (data: unknown): Envelope {
  const { id, payload, requestId, traceparent } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>
  return { id: text(id), payload, requestId: text(requestId), traceparent: text(traceparent) }
}

function text (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

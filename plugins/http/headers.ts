import { isInstrumented } from './trace.ts'
import type { CallOrigin, HttpCall } from './types.ts'

/** The headers of an attempt, names in lower case; the caller's go before ours. */
export function headersOf ({ headers = {}, json, schema, isOwn, isUntrusted }: HttpCall & { schema?: unknown }, { requestId, trace }: CallOrigin, { key, remainingMs }: { key: string | undefined, remainingMs: number }): Record<string, string> {
  return {
    'user-agent': 'keel',
    accept: schema === undefined ? '*/*' : 'application/json',
    'accept-encoding': 'gzip',
    ...json === undefined ? {} : { 'content-type': 'application/json' },
    ...key === undefined ? {} : { 'idempotency-key': key },
    // Strangers learn nothing of us.
    ...isUntrusted || isInstrumented() ? {} : trace,
    ...isOwn && requestId !== undefined ? { 'x-request-id': requestId } : {},
    ...isOwn ? { 'x-request-timeout-ms': String(Math.max(1, Math.floor(remainingMs))) } : {},
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  }
}

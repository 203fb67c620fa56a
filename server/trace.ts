import type { IncomingHttpHeaders } from 'node:http'

/** W3C Trace Context, level 2: 00 is whole, a later version may say more behind it, ff is none; no id is all zeros. */
const TRACEPARENT = /^(?!ff)(?:00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}|(?!00)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[^,]*)?)$/
const MAX_LENGTH = 256

/** The id of the trace that a `traceparent` names; undefined when it is not well-formed, which is as if it were not there. */
export function traceIdOf (traceparent: unknown): string | undefined {
  if (typeof traceparent !== 'string' || traceparent.length > MAX_LENGTH) return undefined
  const match = TRACEPARENT.exec(traceparent)
  return match?.[1] ?? match?.[2]
}

/** The trace that a request belongs to: the caller's or, where traces are collected, the one that began with it. */
export function traceOf ({ headers }: { headers: IncomingHttpHeaders }): string | undefined {
  return headers.traceparent === undefined ? undefined : traceIdOf(headers.traceparent)
}

/** The request that something follows from: what is stored with a job or an event. */
export interface Origin { requestId?: string, traceparent?: string }

/** What log lines say of an origin. */
export function bindingsOf ({ requestId, traceparent }: Origin): { requestId?: string, traceId?: string } {
  const traceId = traceIdOf(traceparent)
  return { ...requestId === undefined ? {} : { requestId }, ...traceId === undefined ? {} : { traceId } }
}

/** The trace of an origin. */
export type Carrier = Pick<Origin, 'traceparent'>

/** What the service has of an SDK for traces, if one was loaded before it. */
export interface Tracing {
  /** Runs a job, or handles a message of another `system`, in a span of its own, in the trace that the carrier names; `run` gets the carrier of that span, and says whether the job is done. */
  inJob: <T>(job: { queue: string, id: string, attempt: number, system?: string }, carrier: Carrier, run: (carrier: Carrier) => Promise<T>, isDone: (result: T) => boolean) => Promise<T>
  /** Tells of spans that could not be sent. */
  report: (listener: (error: Error | undefined) => void) => void
  /** Sends what has not been sent yet. */
  end: () => Promise<void>
}

let present: Tracing | undefined

/** For the preload: kit/tracing/preload.ts. */
export function setTracing (tracing: Tracing): void {
  present = tracing
}

/** The SDK, where one was loaded. */
export function tracing (): Tracing | undefined {
  return present
}

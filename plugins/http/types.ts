import type { FastifyRequest } from 'fastify'
import type { Static, TSchema } from 'typebox'

/** By when something has to be done, as `request.deadline` is. */
export interface CallDeadline {
  readonly signal: AbortSignal
  remainingMs: () => number
}

/** One call of another service. */
export interface HttpCall {
  /** http or https, without user name and password. Check what of it comes from users: `encodeURIComponent` lets `..` pass. */
  url: string | URL
  /** GET without it. */
  method?: 'GET' | 'HEAD' | 'OPTIONS' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  headers?: Record<string, string>
  /** Sent as JSON. */
  json?: unknown
  /** Sent as it is, in place of `json`. */
  body?: string | Uint8Array
  /** Until when the call may go on, retries and all. */
  deadline?: CallDeadline
  /** Ends the call, which then rejects with the signal's reason. */
  signal?: AbortSignal
  /** For how long the call may go on, retries and all; HTTP_TIMEOUT_MS without it. */
  timeoutMs?: number
  /**
   * Whether it may be sent more than once. Without it GET, HEAD, OPTIONS, PUT and DELETE may; with `true`
   * also POST and PATCH, which then have an Idempotency-Key, the same in every attempt.
   */
  idempotent?: boolean
  /** Bytes that the answer may have, also unpacked; 1 MiB without it. */
  maxBytes?: number
  /** The URL comes from a user: it must lead to a public address, in production by https. */
  isUntrusted?: boolean
  /** The callee is a service of our own: it is told the request id and for how long it is waited for. */
  isOwn?: boolean
}

/** A 2xx answer. */
export interface HttpAnswer<Body> {
  status: number
  /** Names in lower case. */
  headers: Record<string, string | string[] | undefined>
  body: Body
}

export interface HttpClient {
  /**
   * Makes a call. Its answer's body is JSON of the schema (fields that this does not name are kept).
   * @throws HttpCallError, or the reason of the caller's signal
   */
  request<Schema extends TSchema> (call: HttpCall & { schema: Schema }): Promise<HttpAnswer<Static<Schema>>>
  /** Makes a call whose answer's body is taken as it comes, unpacked. */
  request (call: HttpCall): Promise<HttpAnswer<Buffer>>
}

/** `fastify.http`. */
export interface Http extends HttpClient {
  /** A client whose calls end with the request, pass its trace on and, with `isOwn`, its id. Not for streams, which outlive their deadline. */
  for: (request: FastifyRequest) => HttpClient
}

/** What calls have of the request that they are made for. */
export interface CallOrigin {
  requestId?: string
  deadline?: CallDeadline
  /** traceparent and tracestate. */
  trace?: Record<string, string>
}

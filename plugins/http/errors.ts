/**
 * - `UPSTREAM_TIMEOUT`: no whole answer in the time that there was
 * - `UPSTREAM_UNREACHABLE`: no connection, or one that broke off
 * - `UPSTREAM_STATUS`: an answer that is not 2xx; `status` and `body` have it
 * - `UPSTREAM_INVALID`: a 2xx answer that is too large, not readable or not of its schema
 * - `CIRCUIT_OPEN`: nothing was sent, as too many of the last calls to the origin failed
 * - `BULKHEAD_FULL`: nothing was sent, as too many calls to the origin are under way
 * - `ADDRESS_REFUSED`: nothing was sent, as the URL may not be called
 */
export type HttpCallCode = 'UPSTREAM_TIMEOUT' | 'UPSTREAM_UNREACHABLE' | 'UPSTREAM_STATUS' | 'UPSTREAM_INVALID' | 'CIRCUIT_OPEN' | 'BULKHEAD_FULL' | 'ADDRESS_REFUSED'

interface Details {
  /** The status of the upstream's answer. */
  status?: number
  retryAfterMs?: number
  /** The upstream's answer, where it is JSON. */
  body?: unknown
  /** Whether it speaks against the upstream; of a time-out only who set it knows. */
  isFault?: boolean
  cause?: unknown
}

/**
 * A call that failed. Its message names method and origin, never path, query, headers or body: they may be
 * secret. Uncaught it is a 503 problem where the same call may work later, else a 500; neither says why.
 */
export class HttpCallError extends Error {
  override name = 'HttpCallError'
  readonly code: HttpCallCode
  /** What the upstream answered, where the code is UPSTREAM_STATUS. */
  readonly status: number | undefined
  /** What the caller's own client is told, unless a service says something better. */
  readonly statusCode: 500 | 503
  /** When the upstream wants to be asked again, a day at the most; a job that throws this is tried no earlier. */
  readonly retryAfterMs: number | undefined
  // Private, so that no log line has it.
  readonly #body: unknown
  readonly #isFault: boolean

  constructor (code: HttpCallCode, message: string, { status, retryAfterMs, body, isFault = code === 'UPSTREAM_UNREACHABLE' || (status ?? 0) >= 500, cause }: Details = {}) {
    super(message, cause === undefined ? {} : { cause })
    this.code = code
    this.status = status
    this.statusCode = isPassing(code, status) ? 503 : 500
    this.retryAfterMs = retryAfterMs
    this.#body = body
    this.#isFault = isFault
  }

  /** The upstream's answer where the code is UPSTREAM_STATUS and it is JSON; not validated. */
  get body (): unknown { return this.#body }

  /** Whether the circuit breaker counts it. */
  get isFault (): boolean { return this.#isFault }
}

/** Whether the same call may work later. */
function isPassing (code: HttpCallCode, status = 0): boolean {
  if (code === 'UPSTREAM_STATUS') return status >= 500 || status === 429 || status === 408
  return code !== 'UPSTREAM_INVALID' && code !== 'ADDRESS_REFUSED'
}

/** A kind of problem: its code is what programs branch on, the description what its page says. */
export interface ProblemKind {
  status: number
  title: string
  /** When it happens and what to do, for people. */
  description?: string
}

/** The problems that the kit itself reports, by code. A code is stable. */
export const kitProblems = {
  BAD_REQUEST: { status: 400, title: 'The request is malformed', description: 'The request is not HTTP as this service reads it: a malformed URL, a Host that is missing, a header that cannot be. Correct it before sending it again.' },
  VALIDATION_FAILED: { status: 400, title: 'The request does not fit its schema', description: 'A part of the request is missing, unknown or not of the form that the API reference shows. `errors` names each place and what is wrong there; correct these.' },
  MALFORMED_BODY: { status: 400, title: 'The request body is malformed', description: 'The body could not be read as its media type: JSON that does not parse, text that is not UTF-8, a length that is not the one announced. Correct the body.' },
  UNAUTHORIZED: { status: 401, title: 'Authentication is required', description: 'The access token is missing, expired or not valid; WWW-Authenticate says which. Sign in, or exchange the refresh token, and send the request again with the new token.' },
  FORBIDDEN: { status: 403, title: 'Not allowed', description: 'The access token is valid but lacks a scope that the operation needs. The same request fails again until the account is given that scope.' },
  NOT_FOUND: { status: 404, title: 'Not found', description: 'Nothing is at this path, or what was there is gone, or it belongs to somebody else. Check the path and the id.' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The resource does not support this method', description: 'The path exists, but not for this method. Allow lists the methods that it has.' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time', description: 'The service waited for the rest of the request and gave up. Send it again, on a new connection.' },
  CONFLICT: { status: 409, title: 'The request conflicts with the state of the resource', description: 'Something like it exists already, or something else depends on it. Read the current state before deciding whether to send the request again.' },
  PRECONDITION_FAILED: { status: 412, title: 'The precondition does not hold', description: 'A condition in the request headers, such as If-Match, does not hold for the resource. Read the resource again and repeat the change on what it is now.' },
  PAYLOAD_TOO_LARGE: { status: 413, title: 'The request body is too large', description: 'The body is longer than the service takes. Send less, or in several requests.' },
  URI_TOO_LONG: { status: 414, title: 'The URL is too long', description: 'A part of the path is longer than any that exists here. Check how the URL was put together.' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The media type of the request body is not supported', description: 'The operation does not take bodies of this Content-Type; the detail lists those it takes.' },
  UNPROCESSABLE: { status: 422, title: 'The request cannot be carried out as it stands', description: 'The request is well-formed but asks for something that cannot be done. The detail says what; change the request.' },
  PRECONDITION_REQUIRED: { status: 428, title: 'The request must be conditional', description: 'The operation changes a resource that others may change too, and asks for If-Match with the ETag that was read.' },
  UPGRADE_REQUIRED: { status: 426, title: 'The resource is a WebSocket', description: 'The resource speaks WebSocket (RFC 6455), not HTTP. Connect to it with a WebSocket client, version 13.' },
  RATE_LIMITED: { status: 429, title: 'Too many requests', description: 'More requests came from this client than the limit allows. Wait for the seconds in Retry-After; RateLimit says how much is left of a window.' },
  TOO_MANY_STREAMS: { status: 429, title: 'Too many streams at once', description: 'The user has as many event streams open as one may have at a time. Close one, or share one among the tabs of a browser, and try again after the seconds in Retry-After.' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The request headers are too large', description: 'The request headers are longer than the service takes; often it is cookies that have piled up. Send fewer or shorter ones.' },
  INTERNAL_ERROR: { status: 500, title: 'The service failed', description: 'A fault of the service; its log has the cause under the request id. Report it with that id. Only a request that is safe to repeat should be sent again.' },
  UNAVAILABLE: { status: 503, title: 'The service is not available', description: 'Something that the service depends on, such as its database, is away. Wait for the seconds in Retry-After and send the request again.' },
  DEADLINE_EXCEEDED: { status: 503, title: 'The request took too long', description: 'The answer was not ready in the time that the service, or the client by X-Request-Timeout-Ms, allows. What was begun is given up where that is possible: read the state before sending a request again that is not safe to repeat.' },
  OVERLOADED: { status: 503, title: 'Too many requests at once', description: 'The service has more to do than it can, and refuses what would have to wait for long; nothing was done. Wait for the seconds in Retry-After and send the request again.' },
  CONTENTION: { status: 503, title: 'Too many changes at once', description: 'Others were changing the same data and the service gave up after several attempts; nothing was changed. Wait for the seconds in Retry-After and send the request again.' }
} as const satisfies Record<string, Required<ProblemKind>>

export type KitCode = keyof typeof kitProblems

/** The path that a problem's `type` says and that its documentation is at. */
export function problemType (code: string): string {
  return `/problems/${code.toLowerCase().replaceAll('_', '-')}`
}

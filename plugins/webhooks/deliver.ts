import { sign } from './signature.ts'

export interface Delivery {
  url: string
  /** The same in every attempt. */
  id: string
  body: string
  secrets: string[]
  /** Ends the attempt. */
  signal: AbortSignal
}

/** An attempt that failed. Has what the queue is to know of the next ones. */
export class DeliveryError extends Error {
  override name = 'DeliveryError'
  /** `false`: none. */
  retry?: false
  retryAfterMs?: number
  /** The receiver wants nothing more. */
  isGone = false
}

const TIMEOUT_MS = 10_000
const MAX_RETRY_AFTER_MS = 4 * 3_600_000
const GONE = 410

/**
 * Posts an event once. Nothing of the answer is read but its status and Retry-After.
 * @throws DeliveryError
 */
export async function deliver ({ url, id, body, secrets, signal }: Delivery): Promise<void> {
  const timestamp = Math.floor(Date.now() / 1000)
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.any([signal, timeout]),
      headers: {
        'content-type': 'application/json',
        'user-agent': 'keel-webhooks',
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': sign(secrets, id, timestamp, body)
      },
      body
    })
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw new DeliveryError(timeout.aborted ? `No answer within ${TIMEOUT_MS / 1000} s` : `No connection: ${reasonOf(error)}`)
  }
  await response.body?.cancel().catch(() => {})
  if (!response.ok) throw refusal(response)
}

function refusal ({ status, headers }: Response): DeliveryError {
  const error = new DeliveryError(`Answered ${status}${status >= 300 && status < 400 ? ' (redirects are not followed)' : ''}`)
  error.retryAfterMs = retryAfter(headers.get('retry-after'))
  if (status === GONE) {
    error.isGone = true
    error.retry = false
  }
  return error
}

/** Seconds or a date; at most as long as the longest back-off. */
function retryAfter (value: string | null): number | undefined {
  if (value === null) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return ms > 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : undefined
}

/** The cause that fetch hides; without the URL, which may hold a secret. */
function reasonOf (error: unknown): string {
  const { code, message } = ((error as Error).cause ?? error) as NodeJS.ErrnoException
  return code ?? message
}

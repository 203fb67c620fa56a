import { promisify } from 'node:util'
import { gunzip as gunzipCallback } from 'node:zlib'
import type { Dispatcher } from 'undici'
import { HttpCallError } from './errors.ts'
import { retryAfterMs } from './retry.ts'
import type { HttpAnswer, HttpCall } from './types.ts'

/** A request as it is sent, once. */
export interface Exchange extends Pick<HttpCall, 'body'> {
  /** Method and origin, for errors. */
  name: string
  url: URL
  method: Dispatcher.HttpMethod
  headers: Record<string, string>
  maxBytes: number
  signal: AbortSignal
}

const gunzip = promisify(gunzipCallback)
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Sends a request and reads its answer, of which no more than `maxBytes` are ever in memory.
 * @throws HttpCallError, or the signal's reason
 */
export async function exchange (dispatcher: Dispatcher, { name, url, method, headers, body, maxBytes, signal }: Exchange): Promise<HttpAnswer<Buffer>> {
  let answer: HttpAnswer<Buffer>
  try {
    const received = await dispatcher.request({ origin: url.origin, path: url.pathname + url.search, method, headers, body, signal })
    answer = { status: received.statusCode, headers: received.headers, body: await read(received, name, maxBytes) }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw failure(error, name)
  }
  if (answer.status >= 200 && answer.status <= 299) return answer
  const redirects = answer.status >= 300 && answer.status <= 399 ? ' (redirects are not followed)' : ''
  throw new HttpCallError('UPSTREAM_STATUS', `${name}: answered ${answer.status}${redirects}`, {
    status: answer.status,
    retryAfterMs: retryAfterMs(answer.headers['retry-after']),
    body: parsed(answer.body)
  })
}

/** The JSON of a body; undefined where it is none. */
export function parsed (body: Buffer): unknown {
  try {
    return JSON.parse(utf8.decode(body))
  } catch {
    return undefined
  }
}

async function read ({ statusCode, headers, body }: Dispatcher.ResponseData, name: string, maxBytes: number): Promise<Buffer> {
  const tooLarge = () => new HttpCallError('UPSTREAM_INVALID', `${name}: the answer has more than ${maxBytes} bytes`)
  const encoding = String(headers['content-encoding'] ?? 'identity').toLowerCase()
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length
      // Leaving the loop ends the connection.
      if (size > maxBytes) throw tooLarge()
      chunks.push(chunk)
    }
    const bytes = Buffer.concat(chunks, size)
    if (encoding === 'identity' || size === 0) return bytes
    // All that we ask for.
    if (encoding !== 'gzip') throw new HttpCallError('UPSTREAM_INVALID', `${name}: the answer is in an encoding that was not asked for`)
    return await gunzip(bytes, { maxOutputLength: maxBytes }).catch(error => {
      throw error.code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge() : new HttpCallError('UPSTREAM_INVALID', `${name}: the answer can't be unpacked`, { cause: error })
    })
  } catch (error) {
    // Of a refusal its status says enough.
    if (error instanceof HttpCallError && statusCode >= 300) return Buffer.alloc(0)
    throw error
  }
}

function failure (error: unknown, name: string): unknown {
  if (error instanceof HttpCallError) return error
  const { code = '', name: kind, message } = error as NodeJS.ErrnoException
  // The caller's mistake: a header that can't be, a body for GET.
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return error
  if (kind === 'HTTPParserError' || code === 'UND_ERR_HEADERS_OVERFLOW') return new HttpCallError('UPSTREAM_INVALID', `${name}: the answer is not HTTP, or its headers are too large`, { cause: error })
  return new HttpCallError('UPSTREAM_UNREACHABLE', `${name}: ${code === '' ? message : code}`, { cause: error })
}

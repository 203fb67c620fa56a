import type { CustomFetchOptions } from 'openid-client'
import { OidcError } from './failure.ts'

/** More than any issuer has to say. */
const MAX_BYTES = 1024 * 1024

/**
 * fetch, with the whole answer: openid-client would read whatever comes for as long as it comes. A redirect is none.
 * @param signal another reason to stop
 * @throws OidcError when there is too much of it, or what fetch throws
 */
export async function boundedFetch (url: string, { signal: limit, ...options }: CustomFetchOptions, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(url, { ...options, redirect: 'error', signal: AbortSignal.any([limit, signal].filter(one => one !== undefined)) } as RequestInit)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    // Leaving the loop ends the connection.
    if (size > MAX_BYTES) throw new OidcError('failed', `The answer of the issuer has more than ${MAX_BYTES} bytes.`)
    chunks.push(chunk)
  }
  const { status, statusText, headers } = response
  return new Response(size === 0 ? null : Buffer.concat(chunks, size), { status, statusText, headers })
}

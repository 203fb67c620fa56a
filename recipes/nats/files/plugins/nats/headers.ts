import { headers, type MsgHdrs } from '@nats-io/transport-node'
import type { CloudEvent } from '../inbox/cloud-event.ts'

const PREFIX = 'ce-'

/** A CloudEvent in binary mode: its attributes are headers, as over HTTP. */
export function toHeaders (event: CloudEvent): MsgHdrs {
  const result = headers()
  result.set('content-type', 'application/json')
  for (const [name, value] of Object.entries(event)) if (value !== undefined) result.set(`${PREFIX}${name}`, encode(String(value)))
  // Also where tracers look for it.
  if (event.traceparent !== undefined) result.set('traceparent', event.traceparent)
  return result
}

/** The attributes of a message, whatever their case, and its content type. */
export function fromHeaders (given: MsgHdrs | undefined): { attributes: Record<string, string>, contentType: string | undefined } {
  const attributes: Record<string, string> = {}
  let contentType: string | undefined
  for (const [name, [value = '']] of given ?? []) {
    const lower = name.toLowerCase()
    if (lower === 'content-type' || lower === 'ce-datacontenttype') contentType ??= value
    else if (lower === 'traceparent') attributes.traceparent ??= value
    else if (lower.startsWith(PREFIX)) attributes[lower.slice(PREFIX.length)] = decode(value)
  }
  return { attributes, contentType }
}

/** A text as a header's value can hold it: one line. */
export function line (text: string, maxLength = 500): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').slice(0, maxLength).toWellFormed().trim()
}

/** Percent-encoded but for printable ASCII, without space, " and % (CloudEvents, HTTP binding, 3.1.3.2). */
function encode (value: string): string {
  return value.toWellFormed().replaceAll(/[^!#$&-~]+/gu, encodeURIComponent)
}

function decode (value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

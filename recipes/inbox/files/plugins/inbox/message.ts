import { isStorable } from '../../server/storable.ts'
import { traceIdOf, type Origin } from '../../server/trace.ts'
import type { MessageConsumer } from './definition.ts'

/** A message as a broker delivers it. */
export interface Delivery {
  body: Uint8Array
  contentType: string | undefined
  /** CloudEvents attributes (binary mode), without their prefix. */
  attributes: Record<string, string>
  /** What the broker tells it by; for messages whose senders give no id. */
  own: { source: string, id: string | undefined }
  /** From 1. */
  attempt: number
}

/** What was read of it. */
export interface Content { id: string, source: string, type?: string, subject?: string, time?: string, payload: unknown, origin: Origin }

/** A message that no attempt would make better. The words are for the operator. */
export class BadMessageError extends Error {
  override name = 'BadMessageError'
}

const STRUCTURED = /^application\/cloudevents\+json\b/i
const JSON_TYPE = /^(?:application|text)\/(?:[\w.+-]+\+)?json\b/i
const MAX_ID = 255
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Reads a message: JSON, as the data of a CloudEvent 1.0 (binary mode or the JSON event format), or bare.
 * @throws BadMessageError when it is not well-formed, does not fit the consumer's schema or has no id
 */
export function readMessage ({ name, check, idOf }: MessageConsumer, { body, contentType, attributes, own }: Delivery): Content {
  const isStructured = contentType !== undefined && STRUCTURED.test(contentType)
  if (!isStructured && contentType !== undefined && !JSON_TYPE.test(contentType)) throw new BadMessageError(`The content type ${JSON.stringify(contentType.slice(0, 100))} is not JSON`)
  const parsed = parse(body)
  const { payload, given } = isStructured ? unwrap(parsed) : { payload: parsed, given: attributes }
  const misfit = check(payload)
  if (misfit !== undefined) throw new BadMessageError(`The payload does not fit the schema of ${name}: ${misfit}`)
  const { id = idOf?.(payload as never), type, subject, time, traceparent } = given
  const named = id === undefined || id === '' ? own : { id, source: given.source ?? '' }
  if (named.id === undefined) throw new BadMessageError('The message has no id: doubles could not be told')
  for (const text of [named.id, named.source]) if (text.length > MAX_ID || !isStorable(text)) throw new BadMessageError(`The id or source of the message is longer than ${MAX_ID} characters or not text`)
  return { id: named.id, source: named.source, type, subject, time, payload, origin: traceIdOf(traceparent) === undefined ? {} : { traceparent } }
}

function parse (body: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(body))
  } catch (error) {
    throw new BadMessageError(`The body is not JSON in UTF-8: ${(error as Error).message.slice(0, 200)}`)
  }
}

/** The JSON event format. */
function unwrap (envelope: unknown): { payload: unknown, given: Record<string, string> } {
  const { data, ...rest } = (typeof envelope === 'object' && envelope !== null ? envelope : {}) as Record<string, unknown>
  if (rest.specversion !== '1.0') throw new BadMessageError('The body is no CloudEvent 1.0 in JSON')
  return { payload: data, given: Object.fromEntries(Object.entries(rest).filter((entry): entry is [string, string] => typeof entry[1] === 'string')) }
}

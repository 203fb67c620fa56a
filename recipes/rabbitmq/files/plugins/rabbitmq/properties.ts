import type { ConsumeMessage, Options } from 'amqplib'
import type { CloudEvent } from '../inbox/cloud-event.ts'

/** Of the CloudEvents binding for AMQP; some senders use the second. */
const PREFIXES = ['cloudEvents:', 'cloudEvents_'] as const
const ATTEMPTS = 'keel-attempts'
const MAX_ATTEMPTS = 10_000
/** What says which message it is. */
const NAMES = ['id', 'source', 'type', 'time'].flatMap(name => PREFIXES.map(prefix => `${prefix}${name}`))
const MAX_NAME = 1024

/** A CloudEvent in binary mode, persistent; in the properties of AMQP as well, where other clients look. */
export function toProperties ({ traceparent, ...event }: CloudEvent): Options.Publish {
  const attributes = { ...event, ...traceparent === undefined ? {} : { traceparent } }
  return {
    persistent: true,
    contentType: 'application/json',
    messageId: event.id,
    type: event.type,
    appId: event.source,
    timestamp: Math.floor(Date.parse(event.time) / 1000),
    headers: { ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`${PREFIXES[0]}${name}`, value])), ...traceparent === undefined ? {} : { traceparent } }
  }
}

/** The CloudEvents attributes of a message; without an id among them, AMQP's own properties. */
export function attributesOf ({ properties: { headers = {}, messageId, appId, type } }: ConsumeMessage): Record<string, string> {
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const prefix = PREFIXES.find(prefix => name.startsWith(prefix))
    const text = textOf(value)
    if (text === undefined) continue
    if (prefix !== undefined) attributes[name.slice(prefix.length).toLowerCase()] = text
    else if (name === 'traceparent') attributes.traceparent ??= text
  }
  if (attributes.id === undefined && typeof messageId === 'string' && messageId !== '') {
    return { ...attributes, id: messageId, source: String(appId ?? ''), ...type === undefined ? {} : { type: String(type) } }
  }
  return attributes
}

/** How often a message has been tried, this time included: in its copies of before, and as the queue counts. */
export function attemptOf ({ properties: { headers = {} } }: ConsumeMessage): number {
  return 1 + countOf(headers[ATTEMPTS]) + countOf(headers['x-delivery-count'])
}

/** The properties of a copy of a message: as its sender gave them, and how often it has been tried. */
export function copyOf ({ properties }: ConsumeMessage, attempts: number, more: Record<string, string> = {}): Options.Publish {
  const { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId, headers = {} } = properties
  // What the server put there is about another queue, and by CC and BCC it would take the copy to others, back to where it
  // comes from among them; a text of the sender may be none of ours.
  const given = Object.fromEntries(Object.entries(headers).filter(([name]) => !/^(?:x-|dead-|keel-|b?cc$)/i.test(name)))
  return { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId, persistent: true, headers: { ...given, ...more, [ATTEMPTS]: attempts } }
}

/** A copy that can be sent whatever its sender gave it: of its headers it has what says which message it is, where that is short. */
export function bareCopyOf ({ properties, ...message }: ConsumeMessage, attempts: number, more: Record<string, string>): Options.Publish {
  const headers = Object.fromEntries(NAMES.flatMap(name => {
    const text = textOf(properties.headers?.[name])
    return text === undefined || text.length > MAX_NAME ? [] : [[name, text]]
  }))
  // The client reads times that it can't write, too.
  return copyOf({ ...message, properties: { ...properties, headers, timestamp: undefined } }, attempts, more)
}

/** Canonical texts of what AMQP may have as a number, a boolean or a timestamp. */
function textOf (value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  const { '!': kind, value: seconds } = (typeof value === 'object' && value !== null ? value : {}) as { '!'?: string, value?: unknown }
  return kind === 'timestamp' && Number.isSafeInteger(seconds) && Math.abs(Number(seconds)) < 1e11 ? new Date(Number(seconds) * 1000).toISOString() : undefined
}

function countOf (value: unknown): number {
  const count = Number(value)
  return Number.isInteger(count) && count > 0 ? Math.min(count, MAX_ATTEMPTS) : 0
}

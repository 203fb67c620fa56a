import type { FastifyBaseLogger } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { Prisma } from '../../prisma/generated/client.ts'
import type { Origin } from '../../server/trace.ts'
import { payloadCheck } from '../../server/payload.ts'

/** A message of a broker as its handler sees it. */
export interface Message<Payload> {
  /** With `source`, what tells messages apart: the sender's (CloudEvents `id`), or the broker's where the sender gave none. */
  id: string
  source: string
  /** CloudEvents `type`, `subject` and `time`, where the sender gave them. */
  type: string | undefined
  subject: string | undefined
  time: string | undefined
  payload: Payload
  /** From 1. */
  attempt: number
  /** The trace that the message belongs to: for `recordEvent` and `jobs.for`. */
  origin: Origin
  /** Fires at the time-out and at the end of the grace at shutdown. */
  signal: AbortSignal
  /** Has consumer, message id, attempt and trace id. */
  log: FastifyBaseLogger
}

/**
 * Handles a message. What it does through `tx` happens exactly once; anything else may happen again. It may throw an error that
 * says of the attempts to come: `retry: false`, none; `retryAfterMs`, not earlier; `statusCode` 503, that something it needs is away.
 */
export type MessageHandler<Payload> = (message: Message<Payload>, tx: Prisma.TransactionClient) => Promise<void>

export interface MessageRetry {
  /** Attempts after the first; then the message is a dead letter. 5 without it. */
  limit?: number
  /** Before the first retry, in milliseconds; it doubles from one to the next. 1000 without it. */
  delayMs?: number
  /** The longest wait, in milliseconds; 600000 without it. */
  maxDelayMs?: number
}

/** What every consumer of messages says, whichever broker they come from. */
export interface MessageConsumerDefinition<Schema extends TSchema = TSchema> {
  /** What was handled is remembered under this name: another name handles what is there once more. */
  name: string
  /** What does not fit it is a dead letter; the handler never sees it. */
  payload: Schema
  handler: MessageHandler<Static<Schema>>
  /** The id of messages whose senders give none. */
  idOf?: (payload: Static<Schema>) => string
  retry?: MessageRetry
  /** Messages under way in each process at the most; 4 without it. */
  concurrency?: number
  /** How long an attempt, and its transaction, may take; 15 without it. */
  timeoutSeconds?: number
}

/** A definition with its defaults filled in. */
export interface MessageConsumer {
  name: string
  retry: Required<MessageRetry>
  concurrency: number
  timeoutMs: number
  handler: MessageHandler<never>
  idOf: ((payload: never) => string) | undefined
  /** What is wrong with a payload, in words. */
  check: (payload: unknown) => string | undefined
}

/** Also as a name of queues, durable consumers and subjects. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,59}$/i
const MAX_DELAY_MS = 86_400_000

/**
 * Fills in a definition's defaults.
 * @throws Error that names the consumer and what is wrong with it
 */
export function completeConsumer<Schema extends TSchema> (definition: MessageConsumerDefinition<Schema>): MessageConsumer {
  const { name, payload, handler, idOf, retry = {}, concurrency = 4, timeoutSeconds = 15 } = definition
  const wrong = (what: string) => new Error(`The consumer of messages ${JSON.stringify(name)} is not well declared: ${what}.`)
  if (!NAME.test(name)) throw wrong('its name is letters, digits, "-" and "_", at most 60')
  const { limit = 5, delayMs = 1_000, maxDelayMs = Math.max(600_000, delayMs) } = retry
  const whole: [string, number, number, number][] = [
    ['retry.limit', limit, 0, 100], ['retry.delayMs', delayMs, 1, MAX_DELAY_MS], ['retry.maxDelayMs', maxDelayMs, delayMs, MAX_DELAY_MS],
    ['concurrency', concurrency, 1, 1000], ['timeoutSeconds', timeoutSeconds, 1, 3600]
  ]
  for (const [what, value, minimum, maximum] of whole) {
    if (!Number.isInteger(value) || value < minimum || value > maximum) throw wrong(`${what} is ${value}, expected a whole number from ${minimum} to ${maximum}`)
  }
  return { name, retry: { limit, delayMs, maxDelayMs }, concurrency, timeoutMs: timeoutSeconds * 1000, handler, idOf, check: payloadCheck(payload, { allErrors: false }) }
}

/** How long to wait after an attempt, in milliseconds. */
export function delayAfter (attempt: number, { delayMs, maxDelayMs }: Required<MessageRetry>): number {
  return Math.min(maxDelayMs, delayMs * 2 ** Math.min(attempt - 1, 30))
}

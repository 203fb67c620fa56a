import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'

export const SUBPROTOCOL = 'keel.v1'
/** Any text of people: what restricts it is its length. */
const TEXT = '^[\\s\\S]*$'
const closed = { additionalProperties: false }

const topic = Type.String({ minLength: 1, maxLength: 200, pattern: '^[a-z][A-Za-z0-9._-]*(?:/[A-Za-z0-9._-]+)*$', description: 'What is followed' })
const position = (description: string) => Type.String({ maxLength: 18, pattern: '^[0-9]{1,18}$', description })

const Subscribe = Type.Object({
  type: Type.Literal('subscribe'),
  topic,
  lastEventId: Type.Optional(Type.String({ maxLength: 64, pattern: TEXT, description: 'The `id` of the last event that was seen: those after it follow. Without it, those from now on' })),
  window: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'How many events may be on their way before the first of them is acknowledged; without it, as many as there are' }))
}, { ...closed, title: 'Follow a topic', examples: [{ type: 'subscribe', topic: 'orders', lastEventId: '41' }] })

const Unsubscribe = Type.Object({ type: Type.Literal('unsubscribe'), topic }, { ...closed, title: 'Follow a topic no more' })

const Ack = Type.Object({
  type: Type.Literal('ack'),
  topic,
  id: position('The `id` of an event: it and those before it have been dealt with')
}, { ...closed, title: 'Ask for more, on a topic with a window; elsewhere it says nothing' })

const Ping = Type.Object({ type: Type.Literal('ping') }, { ...closed, title: 'Ask whether the service is there' })

const Subscribed = Type.Object({
  type: Type.Literal('subscribed'),
  topic,
  id: position('Events follow from here on: good as `lastEventId` until there is one')
}, { ...closed, title: 'The topic is followed' })

const Unsubscribed = Type.Object({ type: Type.Literal('unsubscribed'), topic }, { ...closed, title: 'The topic is followed no more' })

const Reset = Type.Object({
  type: Type.Literal('reset'),
  topic,
  id: position('Events follow from here on'),
  reason: Type.Unsafe<'malformed' | 'future' | 'expired'>({ type: 'string', enum: ['malformed', 'future', 'expired'], description: 'What is wrong with the position: it is none, there was no such event yet, what follows it is kept no more' })
}, { ...closed, title: 'Events may have been missed: read anew what is followed' })

const Pong = Type.Object({ type: Type.Literal('pong') }, { ...closed, title: 'The service is there' })

const Fault = Type.Object({
  type: Type.Literal('error'),
  code: Type.String({ maxLength: 64, pattern: '^[A-Z][A-Z0-9_]*$', description: 'What is wrong, for programs; stable' }),
  detail: Type.String({ maxLength: 4096, pattern: TEXT, description: 'What is wrong, for people' }),
  topic: Type.Optional(topic)
}, { ...closed, title: 'A message was refused, or following a topic has failed', examples: [{ type: 'error', code: 'NOT_FOUND', detail: 'There is no such order.', topic: 'orders/0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11' }] })

/** What clients send, by type. */
export const clientMessages = { subscribe: Subscribe, unsubscribe: Unsubscribe, ack: Ack, ping: Ping }
/** What the service sends, by type; `event` depends on the topic. */
export const serverMessages = { subscribed: Subscribed, unsubscribed: Unsubscribed, reset: Reset, pong: Pong, error: Fault }

/** What the service answers, by the type of what it answers. */
export const replies = {
  subscribe: ['subscribed', 'error'],
  unsubscribe: ['unsubscribed', 'error'],
  ack: [],
  ping: ['pong']
} as const satisfies Record<keyof typeof clientMessages, readonly (keyof typeof serverMessages)[]>

type ClientType = keyof typeof clientMessages
export type ClientMessage = Static<typeof clientMessages[ClientType]>
export type ServerMessage = Static<typeof serverMessages[keyof typeof serverMessages]>

/** Why a message is refused. */
export class MessageFault extends Error {
  readonly code: string
  /** The client does not speak the protocol, as opposed to asking for what can't be had. */
  readonly isInvalid: boolean
  readonly #topic: string | undefined

  constructor (code: string, message: string, { isInvalid = false, topic = undefined as string | undefined } = {}) {
    super(message)
    this.code = code
    this.isInvalid = isInvalid
    this.#topic = topic
  }

  toMessage (topic = this.#topic): ServerMessage {
    return { type: 'error', code: this.code, detail: this.message, ...topic === undefined ? {} : { topic } }
  }
}

const validators = Object.fromEntries(Object.entries(clientMessages).map(([type, schema]) => [type, Compile(schema)]))

/** Reads a message of a client. @throws MessageFault MALFORMED_MESSAGE, UNKNOWN_TYPE, INVALID_MESSAGE */
export function readMessage (text: string): ClientMessage {
  const message = parse(text)
  const { type } = (message ?? {}) as { type?: unknown }
  const validator = typeof type === 'string' && Object.hasOwn(validators, type) ? validators[type] : undefined
  if (validator === undefined) throw invalid('UNKNOWN_TYPE', `The type of a message is one of ${Object.keys(validators).join(', ')}.`)
  if (!validator.Check(message)) throw invalid('INVALID_MESSAGE', faults(validator.Errors(message), unknownFields(type as ClientType, message as object)))
  return message as ClientMessage
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw invalid('MALFORMED_MESSAGE', 'A message is JSON, as text.')
  }
}

interface Issue { keyword: string, instancePath: string, params: object, message: string }

/** The validator gives up after some issues, and unknown fields are the first. */
function unknownFields (type: ClientType, message: object): string[] {
  return Object.keys(message).filter(name => !Object.hasOwn(clientMessages[type].properties, name))
}

function faults (issues: Issue[], unknown: string[]): string {
  const texts = issues.flatMap(({ keyword, instancePath, params, message }) => {
    const { requiredProperties = [] } = params as { requiredProperties?: string[] }
    if (keyword === 'required') return requiredProperties.map(name => `/${name} is required`)
    return keyword === 'boolean' || keyword === 'additionalProperties' ? [] : [`${instancePath} ${message}`]
  })
  texts.push(...unknown.map(name => `/${name.slice(0, 64)} is not a known field`))
  return `${texts.slice(0, 5).join(', ')}${texts.length > 5 ? ', …' : ''}.`
}

function invalid (code: string, message: string): MessageFault {
  return new MessageFault(code, message, { isInvalid: true })
}

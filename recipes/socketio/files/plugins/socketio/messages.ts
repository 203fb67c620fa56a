import type { TSchema } from 'typebox'
import type { FastifyBaseLogger } from 'fastify'
import type { Socket } from 'socket.io'
import { compileSchema, type Validate } from '../../server/validator.ts'
import type { AuthenticatedUser } from '../auth/index.ts'

/** What a client gets of an error: as a problem, without what is of HTTP alone. */
export interface Fault { code: string, status: number, title: string, detail: string }
/** How an event of a client is acknowledged. */
export type Answer = { data: unknown } | { error: Fault }

export interface MessageContext<Payload> { user: AuthenticatedUser, payload: Payload, socket: Socket, log: FastifyBaseLogger }

/** An event that clients may send. */
export interface MessageDefinition<Payload = unknown> {
  /** A schema of the one argument that the event has. */
  payload: TSchema
  /** The scopes that it needs; an empty list: none. */
  scopes: string[]
  /** What it gives is acknowledged; what it throws, too. */
  handler: (context: MessageContext<Payload>) => unknown
}

/** What is wrong with what a client sent: the client does not speak the protocol. */
export class InvalidMessage extends Error {
  readonly fault: Fault

  constructor (code: string, detail: string) {
    super(detail)
    this.fault = { code, status: 400, title: 'The message is not as it should be', detail }
  }
}

/** The events that clients may send, and the check of each. */
export class Messages {
  readonly #all = new Map<string, { definition: MessageDefinition, validate?: Validate }>()

  add (name: string, definition: MessageDefinition): void {
    if (this.#all.has(name)) throw new Error(`The event "${name}" is declared twice.`)
    this.#all.set(name, { definition })
  }

  /** Every scope that an event asks for. */
  get scopes (): string[] {
    return [...this.#all.values()].flatMap(({ definition }) => definition.scopes)
  }

  /**
   * Handles an event.
   * @throws InvalidMessage, an error with status 403, and what the handler throws
   */
  async handle (name: string, args: unknown[], context: Omit<MessageContext<unknown>, 'payload'>): Promise<unknown> {
    const known = this.#all.get(name)
    if (known === undefined) throw new InvalidMessage('UNKNOWN_EVENT', `The events are ${[...this.#all.keys()].join(', ')}.`)
    if (args.length > 1) throw new InvalidMessage('INVALID_MESSAGE', 'An event has one argument, and perhaps an acknowledgement.')
    const { payload: schema, scopes, handler } = known.definition
    // Compiled with the first: most processes never see one of each.
    const validate = known.validate ??= compileSchema(schema, { allErrors: true })
    if (!validate(args[0])) throw new InvalidMessage('INVALID_MESSAGE', inWords(validate))
    for (const scope of scopes) if (!context.user.scopes.has(scope)) throw Object.assign(new Error(`This needs the scope ${scope}.`), { statusCode: 403 })
    return await handler({ ...context, payload: args[0] })
  }
}

function inWords ({ errors }: Validate): string {
  const texts = (errors ?? []).slice(0, 5).map(({ instancePath, message = 'is not valid', params }) => {
    const { additionalProperty } = (params ?? {}) as { additionalProperty?: string }
    return `${instancePath || '/'} ${message}${additionalProperty === undefined ? '' : ` (${JSON.stringify(additionalProperty.slice(0, 64))})`}`
  })
  return `${texts.join('; ')}.`
}

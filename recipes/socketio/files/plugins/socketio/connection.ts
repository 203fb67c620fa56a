import type { FastifyBaseLogger } from 'fastify'
import type { Socket } from 'socket.io'
import type { WebSocket } from 'ws'
import type { AuthenticatedUser } from '../auth/index.ts'
import { InvalidMessage, type Answer, type Fault, type Messages } from './messages.ts'

/** Why the service ends a connection: what the client is told in `goodbye`. It then comes back by itself, unless it is its mistake. */
export const goodbyes = {
  stopping: { code: 'GOING_AWAY', detail: 'The service is stopping: connect again.' },
  expired: { code: 'TOKEN_EXPIRED', detail: 'The access token has expired: connect again with a new one.' },
  tooManyMessages: { code: 'TOO_MANY_MESSAGES', detail: 'More messages came in a second than are taken.' },
  tooManyInvalid: { code: 'TOO_MANY_INVALID_MESSAGES', detail: 'Too many messages were not as they should be.' },
  tooSlow: { code: 'TOO_SLOW', detail: 'The client does not read as fast as there is something to send.' },
  failed: { code: 'UNAVAILABLE', detail: 'Events can\'t be had now: connect again.' }
} as const satisfies Record<string, { code: string, detail: string }>
export type Goodbye = typeof goodbyes[keyof typeof goodbyes]

export interface Limits { messagesPerSecond: number, invalidMessages: number, buffer: number, lowWater: number }

/** What all connections share. */
export interface Shared {
  messages: Messages
  limits: Limits
  log: FastifyBaseLogger
  problemOf: (error: unknown) => { status: number, code: string, title: string, detail?: string | undefined }
  /** An event of a client was handled. */
  onMessage: (event: string, outcome: string) => void
}

const SECOND_MS = 1000
const GOODBYE_MS = 1_000

/** Ends a connection of the layer below, which may have no client yet; who does not answer is cut off. */
export function endTransport (conn: Socket['conn']): void {
  conn.close()
  setTimeout(() => (conn.transport as unknown as { socket?: WebSocket }).socket?.terminate(), GOODBYE_MS).unref()
}

/** One client and its limits. */
export class Connection {
  readonly socket: Socket
  readonly user: AuthenticatedUser
  readonly requestId: string
  readonly #shared: Shared
  readonly #since = performance.now()
  #ending: Goodbye | undefined
  #received = 0
  #invalid = 0
  #second = 0
  #inSecond = 0

  constructor (socket: Socket, user: AuthenticatedUser, requestId: string, shared: Shared) {
    this.socket = socket
    this.user = user
    this.requestId = requestId
    this.#shared = shared
    // Also what is no event counts: pongs, acknowledgements.
    socket.conn.on('packet', () => this.#count())
    // The protocol has names that are numbers, too.
    socket.onAny((event: string | number, ...args: unknown[]) => {
      this.#receive(String(event), args).catch(error => {
        shared.log.error({ err: error, requestId }, 'a message of a Socket.IO client failed')
        this.end(goodbyes.failed)
      })
    })
  }

  /** Looks after it, now and then. @param wallTime what the expiry of tokens is held against */
  check (wallTime: number): void {
    if (this.user.expiresAt <= wallTime) this.end(goodbyes.expired)
    else if (this.buffered > this.#shared.limits.buffer) this.end(goodbyes.tooSlow)
  }

  /** Bytes that wait for the client, and some for each packet that is not with the socket yet. */
  get buffered (): number {
    const { transport, writeBuffer } = this.socket.conn as unknown as { transport: { socket?: WebSocket }, writeBuffer: { data?: string | Buffer }[] }
    return (transport.socket?.bufferedAmount ?? 0) + writeBuffer.reduce((sum, { data }) => sum + (data?.length ?? 0), 0)
  }

  /** Resolves when it can take more; undefined: now. */
  drained (): Promise<void> | undefined {
    if (this.buffered < this.#shared.limits.lowWater) return undefined
    return new Promise(resolve => {
      const { conn } = this.socket
      const done = () => {
        conn.off('drain', done).off('close', done)
        resolve()
      }
      conn.on('drain', done).on('close', done)
    })
  }

  /** Sends something to this client alone, which is not kept for when it comes back. */
  send (event: string, ...args: unknown[]): void {
    this.socket.nsp.local.to(this.socket.id).emit(event, ...args)
  }

  /** Says goodbye. The client takes it as a loss of connection and comes back, at a time of its own; who does not answer is cut off. */
  end (goodbye: Goodbye): void {
    if (this.#ending !== undefined) return
    this.#ending = goodbye
    this.send('goodbye', goodbye)
    endTransport(this.socket.conn)
  }

  /** It has come to its end; gives what the log says of it. */
  ended (reason: string): object {
    return { userId: this.user.id, requestId: this.requestId, reason: this.#ending?.code ?? reason, seconds: Math.round((performance.now() - this.#since) / 10) / 100, received: this.#received }
  }

  /** Whether the client may go on. */
  #count (): boolean {
    const second = Math.floor(performance.now() / SECOND_MS)
    if (second !== this.#second) {
      this.#second = second
      this.#inSecond = 0
    }
    if (++this.#inSecond <= this.#shared.limits.messagesPerSecond) return true
    this.end(goodbyes.tooManyMessages)
    return false
  }

  async #receive (event: string, args: unknown[]): Promise<void> {
    // What was read together with the message that ended it.
    if (this.#ending !== undefined) return
    this.#received++
    const acknowledge = typeof args.at(-1) === 'function' ? args.pop() as (answer: Answer) => void : undefined
    const { messages, log, onMessage } = this.#shared
    try {
      const data = await messages.handle(event, args, { user: this.user, socket: this.socket, log: log.child({ requestId: this.requestId }) }) ?? null
      onMessage(event, 'done')
      acknowledge?.({ data })
    } catch (error) {
      const fault = this.#faultOf(error)
      onMessage(error instanceof InvalidMessage && fault.code === 'UNKNOWN_EVENT' ? 'unknown' : event, fault.code)
      // Who does not ask for an answer is told all the same.
      if (acknowledge === undefined) this.send('fault', { event: event.slice(0, 64), error: fault })
      else acknowledge({ error: fault })
      if (error instanceof InvalidMessage && ++this.#invalid >= this.#shared.limits.invalidMessages) this.end(goodbyes.tooManyInvalid)
    }
  }

  #faultOf (error: unknown): Fault {
    if (error instanceof InvalidMessage) return error.fault
    const { status, code, title, detail = `${title}.` } = this.#shared.problemOf(error)
    if (status >= 500) this.#shared.log.error({ err: error, requestId: this.requestId }, 'a message of a Socket.IO client failed')
    return { code, status, title, detail }
  }
}

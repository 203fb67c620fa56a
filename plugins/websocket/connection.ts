import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import type { AuthenticatedUser } from '../auth/index.ts'
import type { StoredEvent } from '../events/index.ts'
import { closeCodes, type Ending } from './close-codes.ts'
import type { Member } from './connections.ts'
import type { Frames } from './frames.ts'
import { MessageFault, readMessage, type ClientMessage, type ServerMessage } from './messages.ts'
import type { Recipient } from './subscription.ts'
import { Subscriptions, type Source } from './subscriptions.ts'
import type { TopicFinder } from './topics.ts'

/** What all connections share. */
export interface Shared extends Source {
  frames: Frames
  log: FastifyBaseLogger
  limits: Limits
  /** What a client is told of an error. */
  problemOf: (error: unknown) => { status: number, code: string, title: string, detail?: string | undefined }
}

export interface Limits {
  messagesPerSecond: number
  subscriptions: number
  /** Messages that are none of the protocol, over the life of the connection. */
  invalidMessages: number
  /** Bytes that wait for the client. */
  buffer: number
  /** From so many waiting on, a client that catches up is given no more until it has them. */
  lowWater: number
  pingInterval: number
}

/** Who is at the other end, and where. */
export interface Peer { user: AuthenticatedUser, requestId: string, route: string, find: TopicFinder }

const SECOND = 1000
/** The library's state of a WebSocket that may be sent to. */
const OPEN = 1

/** One client, and its limits. There are thousands of these: no timer of their own, and nothing of the request. */
export class Connection implements Recipient, Member {
  readonly peer: Peer
  readonly #socket: WebSocket
  readonly #stream: Socket
  readonly #shared: Shared
  readonly #subscriptions: Subscriptions
  readonly #since = performance.now()
  #ending: Ending | undefined
  #received = 0
  #sent = 0
  #invalid = 0
  #second = 0
  #inSecond = 0
  #isAlive = true
  #nextPing: number
  #draining: Promise<void> | undefined

  constructor (socket: WebSocket, stream: Socket, peer: Peer, shared: Shared) {
    this.#socket = socket
    this.#stream = stream
    this.peer = peer
    this.#shared = shared
    this.#subscriptions = new Subscriptions(this, topic => peer.find(topic, peer.user), shared)
    this.#nextPing = this.#since + shared.limits.pingInterval
    socket.on('message', (data: RawData, isBinary) => this.#receive(data, isBinary))
    socket.on('ping', () => this.#count())
    socket.on('pong', () => {
      this.#isAlive = true
      this.#count()
    })
  }

  /**
   * Looks after it, now and then: an expired token ends it, and so does a client that is not there any more.
   * @param now of a clock that nobody sets
   * @param wallTime what the expiry of tokens is held against
   */
  check (now: number, wallTime: number): void {
    if (this.#socket.readyState !== OPEN) return
    if (this.peer.user.expiresAt <= wallTime) return this.end(closeCodes.tokenExpired)
    if (now < this.#nextPing) return
    if (!this.#isAlive) return this.terminate()
    this.#isAlive = false
    this.#nextPing = now + this.#shared.limits.pingInterval
    this.#socket.ping()
  }

  send (message: ServerMessage): void {
    this.#write(JSON.stringify(message))
  }

  sendEvent (topic: string, event: StoredEvent): void {
    this.#write(this.#shared.frames.of(event, topic))
  }

  drained (): Promise<void> | undefined {
    if (this.#socket.bufferedAmount < this.#shared.limits.lowWater) return undefined
    this.#draining ??= new Promise(resolve => {
      const done = () => {
        this.#stream.off('drain', done).off('close', done)
        this.#draining = undefined
        resolve()
      }
      this.#stream.on('drain', done).on('close', done)
    })
    return this.#draining
  }

  failed (topic: string, error: unknown): void {
    this.#subscriptions.delete(topic)
    this.#refuse(error, topic)
  }

  /** Says goodbye; the library cuts off whoever does not answer in time. */
  end (ending: Ending): void {
    this.#ending ??= ending
    this.#subscriptions.close()
    this.#socket.close(ending.code, ending.reason)
  }

  /** Cuts it off. */
  terminate (): void {
    this.#socket.terminate()
  }

  /** It has come to its end; gives what the log says of it. */
  ended (code: number): object {
    this.#subscriptions.close()
    const { user, route } = this.peer
    return {
      route,
      userId: user.id,
      code: this.#ending?.code ?? code,
      ...this.#ending === undefined ? {} : { reason: this.#ending.reason },
      seconds: Math.round((performance.now() - this.#since) / 10) / 100,
      received: this.#received,
      sent: this.#sent
    }
  }

  #write (message: string | Buffer): void {
    if (this.#socket.readyState !== OPEN) return
    if (this.#socket.bufferedAmount > this.#shared.limits.buffer) return this.end(closeCodes.tooSlow)
    this.#sent++
    this.#socket.send(message, { binary: false })
  }

  /** Counts what the client sends. Whether it may go on. */
  #count (): boolean {
    const second = Math.floor(performance.now() / SECOND)
    if (second !== this.#second) {
      this.#second = second
      this.#inSecond = 0
    }
    if (++this.#inSecond <= this.#shared.limits.messagesPerSecond) return true
    this.end(closeCodes.tooManyMessages)
    return false
  }

  #receive (data: RawData, isBinary: boolean): void {
    // What was read together with the message that ended it.
    if (this.#ending !== undefined) return
    this.#isAlive = true
    this.#received++
    if (isBinary) return this.end(closeCodes.binary)
    if (!this.#count()) return
    try {
      this.#handle(readMessage(String(data)))
    } catch (error) {
      this.#refuse(error)
      if (error instanceof MessageFault && error.isInvalid && ++this.#invalid >= this.#shared.limits.invalidMessages) this.end(closeCodes.tooManyInvalid)
    }
  }

  #handle (message: ClientMessage): void {
    switch (message.type) {
      case 'ping': return this.send({ type: 'pong' })
      case 'subscribe': return this.#subscriptions.subscribe(message)
      case 'unsubscribe': return this.send(this.#subscriptions.unsubscribe(message))
      case 'ack':
        // There can't be more of these than events that were sent.
        if (this.#subscriptions.acknowledge(message)) this.#inSecond--
    }
  }

  #refuse (error: unknown, topic?: string): void {
    if (error instanceof MessageFault) return this.send(error.toMessage(topic))
    const { status, code, title, detail = `${title}.` } = this.#shared.problemOf(error)
    if (status >= 500) this.#shared.log.error({ err: error, requestId: this.peer.requestId }, 'a message of a websocket failed')
    this.send({ type: 'error', code, detail, ...topic === undefined ? {} : { topic } })
  }
}

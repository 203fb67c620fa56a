import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { AuthenticatedUser } from '../auth/index.ts'
import type { StoredEvent } from '../events/index.ts'
import { closeCodes, type Ending } from './close-codes.ts'
import type { Frames } from './frames.ts'
import { Member, type Limits } from './member.ts'
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

/** Who is at the other end, and where. */
export interface Peer { user: AuthenticatedUser, requestId: string, route: string, find: TopicFinder }

/** A client that follows topics. */
export class Connection extends Member implements Recipient {
  declare readonly peer: Peer
  readonly #stream: Socket
  readonly #shared: Shared
  readonly #subscriptions: Subscriptions
  #invalid = 0
  #draining: Promise<void> | undefined

  constructor (socket: WebSocket, stream: Socket, peer: Peer, shared: Shared) {
    super(socket, peer, shared.limits)
    this.#stream = stream
    this.#shared = shared
    this.#subscriptions = new Subscriptions(this, topic => peer.find(topic, peer.user), shared)
  }

  send (message: ServerMessage): void {
    this.write(JSON.stringify(message))
  }

  sendEvent (topic: string, event: StoredEvent): void {
    this.write(this.#shared.frames.of(event, topic))
  }

  drained (): Promise<void> | undefined {
    if (this.socket.bufferedAmount < this.#shared.limits.lowWater) return undefined
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

  override end (ending: Ending): void {
    this.#subscriptions.close()
    super.end(ending)
  }

  override ended (code: number): object {
    this.#subscriptions.close()
    return super.ended(code)
  }

  protected override handle (text: string): void {
    try {
      this.#handle(readMessage(text))
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
        if (this.#subscriptions.acknowledge(message)) this.discount()
    }
  }

  #refuse (error: unknown, topic?: string): void {
    if (error instanceof MessageFault) return this.send(error.toMessage(topic))
    const { status, code, title, detail = `${title}.` } = this.#shared.problemOf(error)
    if (status >= 500) this.#shared.log.error({ err: error, requestId: this.peer.requestId }, 'a message of a websocket failed')
    this.send({ type: 'error', code, detail, ...topic === undefined ? {} : { topic } })
  }
}

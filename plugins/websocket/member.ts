import type { RawData, WebSocket } from 'ws'
import type { AuthenticatedUser } from '../auth/index.ts'
import { closeCodes, type Ending } from './close-codes.ts'

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

const SECOND = 1000
/** The library's state of a WebSocket that may be sent to. */
const OPEN = 1

/** One client and its limits, whatever protocol it speaks. There are thousands of these: no timer of their own, and nothing of the request. */
export abstract class Member {
  readonly peer: { user: AuthenticatedUser, route: string }
  protected readonly socket: WebSocket
  readonly #limits: Limits
  readonly #since = performance.now()
  #ending: Ending | undefined
  #received = 0
  #sent = 0
  #second = 0
  #inSecond = 0
  #isAlive = true
  #nextPing: number

  constructor (socket: WebSocket, peer: Member['peer'], limits: Limits) {
    this.socket = socket
    this.peer = peer
    this.#limits = limits
    this.#nextPing = this.#since + limits.pingInterval
    socket.on('message', (data: RawData, isBinary) => this.#receive(data, isBinary))
    socket.on('ping', () => this.#count())
    socket.on('pong', () => {
      this.#isAlive = true
      this.#count()
    })
  }

  /** A message of the client, within the limits. */
  protected abstract handle (text: string): void

  /**
   * Looks after it, now and then: an expired token ends it, and so does a client that is not there any more.
   * @param now of a clock that nobody sets
   * @param wallTime what the expiry of tokens is held against
   */
  check (now: number, wallTime: number): void {
    if (this.socket.readyState !== OPEN) return
    if (this.peer.user.expiresAt <= wallTime) return this.end(closeCodes.tokenExpired)
    if (now < this.#nextPing) return
    if (!this.#isAlive) return this.terminate()
    this.#isAlive = false
    this.#nextPing = now + this.#limits.pingInterval
    this.socket.ping()
  }

  /** Says goodbye; the library cuts off whoever does not answer in time. */
  end (ending: Ending): void {
    this.#ending ??= ending
    this.socket.close(ending.code, ending.reason)
  }

  /** Cuts it off. */
  terminate (): void {
    this.socket.terminate()
  }

  /** It has come to its end; gives what the log says of it. */
  ended (code: number): object {
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

  /** Sends a message, as far as the client may still get one. @param sent is called when it has left, and only if it was sent */
  protected write (message: string | Buffer, sent?: () => void): boolean {
    if (this.socket.readyState !== OPEN) return false
    if (this.socket.bufferedAmount > this.#limits.buffer) {
      this.end(closeCodes.tooSlow)
      return false
    }
    this.#sent++
    this.socket.send(message, { binary: false }, sent)
    return true
  }

  /** A message that counts for nothing. */
  protected discount (): void {
    this.#inSecond--
  }

  /** Counts what the client sends. Whether it may go on. */
  #count (): boolean {
    const second = Math.floor(performance.now() / SECOND)
    if (second !== this.#second) {
      this.#second = second
      this.#inSecond = 0
    }
    if (++this.#inSecond <= this.#limits.messagesPerSecond) return true
    this.end(closeCodes.tooManyMessages)
    return false
  }

  #receive (data: RawData, isBinary: boolean): void {
    // What was read together with the message that ended it.
    if (this.#ending !== undefined) return
    this.#isAlive = true
    this.#received++
    if (isBinary) return this.end(closeCodes.binary)
    if (this.#count()) this.handle(String(data))
  }
}

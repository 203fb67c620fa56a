import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Following, ResetReason, Sink, StoredEvent } from '../events/index.ts'
import { beatFrame, eventFrame, positionFrame, resetFrame, retryFrame } from './frames.ts'

/** What is not yet sent to a client, at the most: who is slower than that is cut off. */
const BUFFER_BYTES = 256 * 1024
/** For so many heartbeats a client that takes nothing at all is waited for, after its stream has ended too. */
const STALLED_BEATS = 2
/** When the client is to come back, at random within: after a loss, and after a shutdown, when all come. */
const RETRY_MS = [1_000, 3_000] as const
const SHUTDOWN_RETRY_MS = [500, 5_000] as const

/** Why a stream ended, for the log. */
export type End = 'client' | 'expired' | 'shutdown' | 'slow' | 'failed'

/**
 * The events of one client. There are thousands of these: no timer, no closure and no buffer of their own.
 */
export class EventStream implements Sink {
  readonly #response: ServerResponse
  readonly #expiresAt: number
  readonly #beatMs: number
  #following: Following | undefined
  /** What comes before the response has begun. */
  #early: Buffer[] | undefined = [retryFrame(...RETRY_MS)]
  #begun: (() => void) | undefined
  #beatAt = 0
  /** Bytes that were written, and of these what had left when it was last looked. */
  #written = 0
  #left = 0
  #leftAt = 0
  /** Events that were sent. */
  events = 0
  end: End | undefined

  /** @param expiresAt when the stream has to end, in milliseconds of Unix time */
  constructor (response: ServerResponse, expiresAt: number, beatMs: number) {
    this.#response = response
    this.#expiresAt = expiresAt
    this.#beatMs = beatMs
  }

  /** The events come from there: the stream closes it when it ends. */
  follow (following: Following): void {
    this.#following = following
    if (this.end !== undefined) following.close()
  }

  event (event: StoredEvent): boolean {
    this.events++
    return this.#write(eventFrame(event))
  }

  reset (position: bigint, reason: ResetReason): void {
    this.#write(resetFrame(position, reason))
  }

  async drained (): Promise<void> {
    const response = this.#response
    if (this.end !== undefined) return
    if (this.#early !== undefined) return await new Promise(resolve => { this.#begun = resolve })
    if (!response.writableNeedDrain) return
    await new Promise<void>(resolve => {
      const done = () => {
        response.off('drain', done).off('close', done)
        resolve()
      }
      response.on('drain', done).on('close', done)
    })
  }

  failed (): void {
    this.finish('failed')
  }

  /** Fastify takes for a stream what has this; it is not to pipe it, but to let `begin` have the response. */
  pipe (): never {
    throw new Error('A route that sends events declares text/event-stream in its response schema.')
  }

  /** Sends the headers and what has come meanwhile. */
  begin (headers: OutgoingHttpHeaders): void {
    const early = this.#early ?? []
    this.#early = undefined
    this.#begun?.()
    const response = this.#response
    response.writeHead(200, headers)
    if (this.end !== undefined) return void response.end()
    const now = performance.now()
    this.#leftAt = now
    this.#schedule(now)
    response.socket?.setKeepAlive?.(true, this.#beatMs)
    this.#write(Buffer.concat([...early, ...this.#following === undefined ? [] : [positionFrame(this.#following.position)]]))
  }

  /**
   * Now and then: ends the stream when its time is over, shows that it is alive when nothing else does.
   * @param now of a clock that nobody sets
   * @param wallTime what the expiry of tokens is held against
   */
  check (now: number, wallTime: number): void {
    if (this.#early !== undefined) return
    if (wallTime >= this.#expiresAt) this.finish('expired')
    const pending = this.#response.writableLength
    const left = this.#written - pending
    if (pending === 0 || left !== this.#left) {
      this.#left = left
      this.#leftAt = now
    } else if (now - this.#leftAt >= STALLED_BEATS * this.#beatMs) {
      return this.cut()
    }
    if (now < this.#beatAt || this.end !== undefined || this.#following === undefined) return
    // More for a client that takes nothing would only fill its buffer.
    if (pending === 0) this.#write(beatFrame(this.#following.position))
    this.#schedule(now)
  }

  /** Ends the stream as a whole response. */
  finish (end: End): void {
    if (!this.close(end) || this.#early !== undefined) return
    if (end === 'shutdown') this.#response.write(retryFrame(...SHUTDOWN_RETRY_MS))
    this.#response.end()
  }

  /** Lets go of a client that does not read. */
  cut (): void {
    this.close('slow')
    this.#response.destroy()
  }

  /** Takes no more events. @returns false if it had ended before */
  close (end: End): boolean {
    if (this.end !== undefined) return false
    this.end = end
    this.#following?.close()
    this.#begun?.()
    return true
  }

  /** @returns false when the client is not to be given more at once */
  #write (frame: Buffer): boolean {
    if (this.end !== undefined) return false
    if (this.#early !== undefined) {
      this.#early.push(frame)
      return false
    }
    const response = this.#response
    const isFlowing = response.write(frame)
    this.#written += frame.length
    if (response.writableLength > BUFFER_BYTES) this.cut()
    return isFlowing
  }

  /** Spread, so that streams that began together do not beat together. */
  #schedule (now: number): void {
    this.#beatAt = now + this.#beatMs * (0.75 + Math.random() / 4)
  }
}

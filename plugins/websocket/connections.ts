import { PerUser } from '../events/per-user.ts'
import { closeCodes } from './close-codes.ts'
import type { Member } from './member.ts'

const MIN_SWEEP_MS = 50
const MAX_SWEEP_MS = 1_000
/** How long clients get to answer that the service says goodbye. */
const GOODBYE_MS = 1_000

/** The open connections of the process, and the one timer that looks after them all. */
export class Connections {
  readonly #all = new Set<Member>()
  readonly #byUser = new PerUser()
  readonly #sweepInterval: number
  #timer: NodeJS.Timeout | undefined
  #swept = 0
  #isClosing = false

  constructor (pingInterval: number) {
    this.#sweepInterval = Math.max(MIN_SWEEP_MS, Math.min(MAX_SWEEP_MS, pingInterval / 4))
  }

  get size (): number {
    return this.#all.size
  }

  /** No more are to come. */
  get isClosing (): boolean {
    return this.#isClosing
  }

  countOf (userId: string): number {
    return this.#byUser.of(userId)
  }

  add (connection: Member): void {
    this.#all.add(connection)
    this.#byUser.add(connection.peer.user.id)
    if (this.#timer !== undefined) return
    this.#swept = performance.now()
    this.#timer = setInterval(() => this.#sweep(), this.#sweepInterval).unref()
  }

  delete (connection: Member): void {
    if (!this.#all.delete(connection)) return
    this.#byUser.delete(connection.peer.user.id)
    if (this.#all.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Says goodbye to all, and cuts off whoever does not answer: a shutdown does not wait for clients. */
  close (): void {
    this.#isClosing = true
    for (const connection of this.#all) connection.end(closeCodes.goingAway)
    if (this.#all.size > 0) setTimeout(() => { for (const connection of this.#all) connection.terminate() }, GOODBYE_MS).unref()
  }

  #sweep (): void {
    const last = this.#swept
    this.#swept = performance.now()
    // The process was held up: answers to pings may be here already, but unread.
    if (this.#swept - last > this.#sweepInterval * 3) return
    const wallTime = Date.now()
    for (const connection of this.#all) connection.check(this.#swept, wallTime)
  }
}

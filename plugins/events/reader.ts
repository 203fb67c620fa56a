import type { FastifyBaseLogger } from 'fastify'
import type { PrismaClient } from '../../prisma/generated/client.ts'
import { logState, readLog, type StoredEvent } from './log.ts'
import { RecentEvents } from './recent.ts'

/** What the process has read of the log, and whether it is still what the log says. */
export class LogReader {
  readonly #prisma: PrismaClient
  readonly #log: FastifyBaseLogger
  #position = 0n
  #recent = new RecentEvents(0n)
  #era = 0
  /** The event at the position, if it was passed on and not only found. */
  #last: StoredEvent | undefined

  constructor ({ prisma, log }: { prisma: PrismaClient, log: FastifyBaseLogger }) {
    this.#prisma = prisma
    this.#log = log
  }

  /** Everything up to here has been passed on. */
  get position (): bigint {
    return this.#position
  }

  /** The last events that were passed on. */
  get recent (): RecentEvents {
    return this.#recent
  }

  /** How often the log has gone back. */
  get era (): number {
    return this.#era
  }

  /** Begins at the end of the log. */
  async start (): Promise<void> {
    this.#begin((await logState(this.#prisma)).last)
  }

  /**
   * Reads what follows, and with it the last event: where that is not there any more, and was not trimmed,
   * the database has gone back (to a standby that lagged, to a backup). Then nothing follows, in a new era.
   */
  async readOn (limit: number): Promise<StoredEvent[]> {
    const [first, ...rest] = await readLog(this.#prisma, this.#position - 1n, limit + 1)
    if (first?.position === this.#position && (this.#last === undefined || this.#last.json === first.json)) return rest
    const { horizon, last } = await logState(this.#prisma)
    if (first?.position !== this.#position && this.#position <= horizon) return first === undefined ? [] : [first, ...rest]
    // What was passed on may never have been, and its positions be given out again.
    this.#log.warn({ from: String(this.#position), to: String(last) }, 'the log of events has gone back: its readers are told to read anew')
    this.#begin(last)
    this.#era++
    return []
  }

  /** The event that follows is passed on. */
  advance (event: StoredEvent): void {
    this.#position = event.position
    this.#last = event
    this.#recent.add(event)
  }

  #begin (position: bigint): void {
    this.#position = position
    this.#last = undefined
    this.#recent = new RecentEvents(position)
  }
}

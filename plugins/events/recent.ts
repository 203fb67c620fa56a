import type { StoredEvent } from './log.ts'

const MAX_EVENTS = 1_000
const MAX_CHARACTERS = 2 * 1024 * 1024

/**
 * The newest events of the log, in memory: readers that come back after a moment,
 * perhaps thousands at once, get what they missed from here instead of the database.
 */
export class RecentEvents {
  /** All events after this position are here. */
  since: bigint
  #events: StoredEvent[] = []
  #characters = 0

  /** @param since a position; the events that follow it are to be added */
  constructor (since: bigint) {
    this.since = since
  }

  /** Adds the event that follows the last one. */
  add (event: StoredEvent): void {
    this.#events.push(event)
    this.#characters += event.json.length
    // In steps: to shift each time would move the whole array.
    if (this.#events.length > MAX_EVENTS * 1.25 || this.#characters > MAX_CHARACTERS * 1.25) this.#forget()
  }

  /** The events after a position that is not before `since`. */
  after (position: bigint): StoredEvent[] {
    const events = this.#events
    let low = 0
    for (let high = events.length; low < high;) {
      const middle = (low + high) >>> 1
      if ((events[middle]?.position ?? 0n) <= position) low = middle + 1
      else high = middle
    }
    return events.slice(low)
  }

  #forget (): void {
    let count = Math.max(0, this.#events.length - MAX_EVENTS)
    for (const { json } of this.#events.slice(0, count)) this.#characters -= json.length
    while (this.#characters > MAX_CHARACTERS && count < this.#events.length) this.#characters -= this.#events[count++]?.json.length ?? 0
    this.since = this.#events[count - 1]?.position ?? this.since
    this.#events.splice(0, count)
  }
}

import type { EventFilter, StoredEvent } from './log.ts'

/** Why a reader can't go on where it was: it must read anew what it follows. */
export type ResetReason = 'malformed' | 'future' | 'expired'

/** Where a subscription delivers. What throws here ends the subscription. */
export interface Sink {
  /** Comes first: events follow from `position` on. */
  opened?: (position: bigint) => void
  /** Events come once each, in the order of the log. False: no more of what is past until it has drained. */
  event: (event: StoredEvent) => void | boolean
  /** The position that was asked for, or reached, is none that can be gone on from: events follow from `position` on. */
  reset: (position: bigint, reason: ResetReason) => void
  /** Resolves when more may come (undefined: at once): a reader of what is past is not given more than it takes. */
  drained?: () => Promise<void> | undefined
  /** It has failed; nothing follows. */
  failed: (error: unknown) => void
}

/** What a subscriber holds. */
export interface Following {
  /** The sink was given every event that it wants up to here: from here it can be resumed. */
  readonly position: bigint
  close: () => void
}

/** A reader of the log, and how far it has come. */
export interface Subscription {
  readonly filter: EventFilter
  readonly sink: Sink
  /** The last event that it needs no more. */
  position: bigint
  /** How often the log had gone back when it got there. */
  era: number
  /** It is up to date, and gets events as they come. */
  live: boolean
  closed: boolean
}

/** Subscriptions by what they want, so that an event finds those that want it without asking all. */
export class SubscriptionIndex {
  readonly #byOwner = new Map<string, Set<Subscription>>()
  readonly #bySubject = new Map<string, Set<Subscription>>()
  readonly #all = new Set<Subscription>()

  add (subscription: Subscription): void {
    const [sets, key] = this.#place(subscription)
    if (sets === undefined) return void this.#all.add(subscription)
    const set = sets.get(key) ?? new Set()
    sets.set(key, set.add(subscription))
  }

  delete (subscription: Subscription): void {
    const [sets, key] = this.#place(subscription)
    if (sets === undefined) return void this.#all.delete(subscription)
    const set = sets.get(key)
    set?.delete(subscription)
    if (set?.size === 0) sets.delete(key)
  }

  /** Those that may want the event. */
  * matching ({ ownerId, subject }: StoredEvent): Iterable<Subscription> {
    yield * this.#all
    if (ownerId !== null) yield * this.#byOwner.get(ownerId) ?? []
    yield * this.#bySubject.get(subject) ?? []
  }

  /** All of them, as they are now. */
  all (): Subscription[] {
    return [this.#all, ...this.#byOwner.values(), ...this.#bySubject.values()].flatMap(set => [...set])
  }

  get size (): number {
    const count = (sets: Map<string, Set<Subscription>>) => [...sets.values()].reduce((sum, { size }) => sum + size, 0)
    return this.#all.size + count(this.#byOwner) + count(this.#bySubject)
  }

  #place ({ filter: { ownerId, subject } }: Subscription): [Map<string, Set<Subscription>> | undefined, string] {
    if (subject !== undefined) return [this.#bySubject, subject]
    return ownerId === undefined ? [undefined, ''] : [this.#byOwner, ownerId]
  }
}

/** Whether a filter lets an event through. */
export function wants ({ ownerId, subject, topic }: EventFilter, event: StoredEvent): boolean {
  return (ownerId === undefined || ownerId === event.ownerId) && (subject === undefined || subject === event.subject) &&
    (topic === undefined || event.type.startsWith(`${topic}.`))
}

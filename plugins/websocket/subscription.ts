import type { EventFilter, EventHub, ResetReason, Sink, StoredEvent } from '../events/index.ts'

/** Where the messages of a subscription go. */
export interface Recipient {
  sendEvent: (topic: string, event: StoredEvent) => void
  send: (message: { type: 'subscribed', topic: string, id: string } | { type: 'reset', topic: string, id: string, reason: ResetReason }) => void
  /** Resolves when it can take more; undefined: now. */
  drained: () => Promise<void> | undefined
  /** The subscription is no more. */
  failed: (topic: string, error: unknown) => void
}

/** The topic that a client follows. With a window, it stops when so many events are unacknowledged and goes on from the log. */
export class Subscription implements Sink {
  readonly topic: string
  readonly #recipient: Recipient
  #hub: EventHub | undefined
  #filter: EventFilter = {}
  #handle: { close: () => void } | undefined
  #isClosed = false
  #isOpening = false
  #isAnnounced = false
  /** With a window alone: the size, the events on their way, and where to go on. */
  readonly #window: number
  #unacknowledged: bigint[] | undefined
  #position = 0n
  #isFull = false

  constructor (topic: string, recipient: Recipient, window = Infinity) {
    this.topic = topic
    this.#recipient = recipient
    this.#window = window
  }

  /** Begins to follow: after an event, or from now on. */
  async open (hub: EventHub, filter: EventFilter, after: string | undefined): Promise<void> {
    this.#hub = hub
    this.#filter = filter
    await this.#follow(after)
  }

  close (): void {
    this.#isClosed = true
    this.#handle?.close()
    this.#handle = undefined
  }

  /** The client has dealt with the events up to a position. Whether some of them were on their way. */
  acknowledge (position: bigint): boolean {
    const unacknowledged = this.#unacknowledged ?? []
    const rest = unacknowledged.findIndex(sent => sent > position)
    const { length } = unacknowledged.splice(0, rest === -1 ? unacknowledged.length : rest)
    this.#goOn()
    return length > 0
  }

  opened (position: bigint): void {
    if (this.#isClosed || this.#isAnnounced) return
    this.#isAnnounced = true
    this.#position = position
    this.#recipient.send({ type: 'subscribed', topic: this.topic, id: String(position) })
  }

  event (event: StoredEvent): boolean {
    // While it is full or until the hub has handed over what closes it, some may still come: they come again.
    if (this.#isClosed || this.#isFull) return true
    this.#recipient.sendEvent(this.topic, event)
    if (this.#window !== Infinity) this.#count(event)
    return this.drained() === undefined
  }

  reset (position: bigint, reason: ResetReason): void {
    if (this.#isClosed || this.#isFull) return
    this.#position = position
    // What is on its way counts no more: the log may have gone back behind it.
    if (this.#unacknowledged !== undefined) this.#unacknowledged = []
    this.#recipient.send({ type: 'reset', topic: this.topic, id: String(position), reason })
  }

  drained (): Promise<void> | undefined {
    return this.#isClosed || this.#isFull ? undefined : this.#recipient.drained()
  }

  failed (error: unknown): void {
    if (this.#isClosed) return
    this.close()
    this.#recipient.failed(this.topic, error)
  }

  #count ({ position }: StoredEvent): void {
    this.#position = position
    this.#unacknowledged ??= []
    this.#unacknowledged.push(position)
    if (this.#unacknowledged.length < this.#window) return
    this.#isFull = true
    this.#handle?.close()
    this.#handle = undefined
  }

  async #follow (after: string | undefined): Promise<void> {
    if (this.#hub === undefined || this.#isClosed) return
    this.#isOpening = true
    this.#isFull = false
    const handle = await this.#hub.subscribe(this, { ...this.#filter, ...after === undefined ? {} : { after } })
    this.#isOpening = false
    if (this.#isClosed) handle.close()
    else if (!this.#isFull) this.#handle = handle
    else {
      handle.close()
      this.#goOn()
    }
  }

  #goOn (): void {
    if (!this.#isFull || this.#isOpening || (this.#unacknowledged?.length ?? 0) >= this.#window) return
    this.#follow(String(this.#position)).catch(error => this.failed(error))
  }
}

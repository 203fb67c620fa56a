import type { LimitFunction } from 'p-limit'
import type { EventHub } from '../events/index.ts'
import { MessageFault, type ClientMessage, type ServerMessage } from './messages.ts'
import { Subscription, type Recipient } from './subscription.ts'
import type { FindFilter } from './topics.ts'

type Message<Type extends ClientMessage['type']> = Extract<ClientMessage, { type: Type }>

/** Where the subscriptions of a connection are served from. */
export interface Source {
  hub: EventHub
  /** Bounds how many topics are looked up in the database at a time: a crowd leaves connections to the requests. */
  lookUps: LimitFunction
  limits: { subscriptions: number }
}

/** The topics that a client follows. */
export class Subscriptions {
  readonly #recipient: Recipient
  readonly #find: FindFilter
  readonly #source: Source
  #byTopic: Map<string, Subscription> | undefined

  constructor (recipient: Recipient, find: FindFilter, source: Source) {
    this.#recipient = recipient
    this.#find = find
    this.#source = source
  }

  /** Follows a topic; the recipient is told, also of a failure. @throws MessageFault ALREADY_SUBSCRIBED, TOO_MANY_SUBSCRIPTIONS */
  subscribe ({ topic, lastEventId, window }: Message<'subscribe'>): void {
    const { subscriptions: most } = this.#source.limits
    const byTopic = this.#byTopic ??= new Map<string, Subscription>()
    if (byTopic.has(topic)) throw new MessageFault('ALREADY_SUBSCRIBED', 'The topic is followed already.', { topic })
    if (byTopic.size >= most) throw new MessageFault('TOO_MANY_SUBSCRIPTIONS', `A connection follows ${most} topics at the most.`, { topic })
    const subscription = new Subscription(topic, this.#recipient, window)
    // From now on it counts, and can be ended while it is being opened.
    byTopic.set(topic, subscription)
    this.#open(subscription, lastEventId).catch(error => subscription.failed(error))
  }

  /** @throws MessageFault NOT_SUBSCRIBED */
  unsubscribe ({ topic }: Message<'unsubscribe'>): ServerMessage {
    this.#followed(topic).close()
    this.#byTopic?.delete(topic)
    return { type: 'unsubscribed', topic }
  }

  /** Whether some of the events were on their way. @throws MessageFault NOT_SUBSCRIBED */
  acknowledge ({ topic, id }: Message<'ack'>): boolean {
    return this.#followed(topic).acknowledge(BigInt(id))
  }

  /** Forgets a subscription that has failed. */
  delete (topic: string): void {
    this.#byTopic?.delete(topic)
  }

  close (): void {
    for (const subscription of this.#byTopic?.values() ?? []) subscription.close()
    this.#byTopic = undefined
  }

  async #open (subscription: Subscription, after: string | undefined): Promise<void> {
    const filter = await this.#source.lookUps(() => this.#find(subscription.topic))
    await subscription.open(this.#source.hub, filter, after)
  }

  #followed (topic: string): Subscription {
    const subscription = this.#byTopic?.get(topic)
    if (subscription === undefined) throw new MessageFault('NOT_SUBSCRIBED', 'The topic is not followed.', { topic })
    return subscription
  }
}

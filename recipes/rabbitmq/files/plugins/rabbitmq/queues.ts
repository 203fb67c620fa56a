import type { Channel } from 'amqplib'
import type { Source } from './consumer.ts'

/** The queues of a consumer: what is to be handled, what waits for another attempt, and dead letters. */
export interface QueueNames { main: string, dead: string, retry: (delayMs: number) => string }

/** Replicated where there is a cluster, and counting deliveries. */
const QUORUM = { 'x-queue-type': 'quorum' }
/** Copies of ours are not lost between two queues. */
const SAFE = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' }
/** Servers from 4.0 give up after 20, and drop what has no dead letter queue: how often is for us to say, long before this. */
const DELIVERIES = 1_000

export function queueNames (main: string): QueueNames {
  return { main, dead: `${main}.dead`, retry: delayMs => `${main}.retry.${delayMs}` }
}

/**
 * Declares the queues of a consumer and binds the first.
 * @throws Error of the server, also when one is there with other arguments
 */
export async function declareQueues (channel: Channel, { main, dead, retry }: QueueNames, { exchange, keys = [], create }: Source, delays: number[]): Promise<void> {
  await channel.assertQueue(dead, { durable: true, arguments: QUORUM })
  await channel.assertQueue(main, { durable: true, arguments: { ...QUORUM, ...SAFE, 'x-delivery-limit': DELIVERIES, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead } })
  for (const delayMs of delays) {
    // A queue for each wait: in one, a long wait would hold up the short ones behind it.
    await channel.assertQueue(retry(delayMs), { durable: true, arguments: { ...QUORUM, ...SAFE, 'x-message-ttl': delayMs, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': main } })
  }
  if (exchange === undefined) return
  if (create === undefined) await channel.checkExchange(exchange)
  else await channel.assertExchange(exchange, create, { durable: true })
  for (const key of keys.length > 0 ? keys : ['']) await channel.bindQueue(main, exchange, key)
}

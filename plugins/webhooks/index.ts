import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Type } from 'typebox'
import { deliver, DeliveryError } from './deliver.ts'
import { deliveryId } from './signature.ts'

const CONSUMER = 'webhooks'
/** Events whose jobs are sent in one transaction. */
const BATCH = 50
/** Deliveries under way to each URL, of each process. */
const CONCURRENCY = 10
const TIMEOUT_SECONDS = 15
// From 5 s, doubling up to 4 h: about a day.
const retry = { limit: 16, delaySeconds: 5, maxDelaySeconds: 4 * 3600 }

const Payload = Type.Object({ type: Type.String(), subject: Type.String(), body: Type.String() }, { additionalProperties: false })

/** Posts every domain event, signed, to the URLs of WEBHOOK_URLS; without them it does nothing. */
async function webhooks (fastify: FastifyInstance) {
  const { config, jobs, log } = fastify
  const secrets = config.WEBHOOK_SECRET ?? []
  const endpoints = config.WEBHOOK_URLS.map(url => ({ url, queue: queueOf(url) }))
  if (endpoints.length === 0) return
  const gone = new Set<string>()

  // A queue for each: a receiver that is slow or away holds up no other.
  for (const { url, queue } of endpoints) {
    jobs.define({
      name: queue,
      payload: Payload,
      policy: 'key_strict_fifo',
      concurrency: CONCURRENCY,
      timeoutSeconds: TIMEOUT_SECONDS,
      retry,
      handler: async ({ id, payload: { body }, signal }) => {
        if (gone.has(url)) throw wantsNoMore()
        try {
          await deliver({ url, id, body, secrets, signal })
        } catch (error) {
          if (error instanceof DeliveryError && error.isGone && !gone.has(url)) {
            gone.add(url)
            log.error({ queue }, 'a receiver of webhooks answered 410 Gone: this process sends nothing more there until it is restarted')
          }
          throw error
        }
      }
    })
  }

  fastify.consumeEvents({
    name: CONSUMER,
    batch: BATCH,
    handler: async ({ position, type, subject, json, origin }, tx) => {
      const sender = origin === null ? jobs : await jobs.for({ origin })
      for (const { url, queue } of endpoints) {
        await sender.send(queue, { type, subject, body: json }, { tx, id: deliveryId(position, json, url), singletonKey: subject })
      }
    }
  })
}

/** The queue of a URL: named after its host, without what may be secret in it. */
function queueOf (url: string): string {
  const host = new URL(url).host.replaceAll(/[^\w.-]/g, '-').slice(0, 40)
  return `webhook-${createHash('sha256').update(url).digest('hex').slice(0, 8)}-${host}`
}

function wantsNoMore (): DeliveryError {
  const error = new DeliveryError('The receiver answered 410 (Gone) before')
  error.retry = false
  return error
}

export default fp(webhooks, { name: 'webhooks', dependencies: ['config', 'events', 'jobs'] })

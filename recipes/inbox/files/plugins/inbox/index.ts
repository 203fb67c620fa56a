import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { within } from '../../server/within.ts'
import type { MessageConsumer } from './definition.ts'
import { handle, type Outcome } from './handle.ts'
import type { Delivery } from './message.ts'
import { MessageMetrics } from './metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What plugins of message brokers share. */
    inbox: Inbox
  }
}

export interface Inbox {
  metrics: MessageMetrics
  /** CloudEvents `source` of this service. */
  source: string
  /** Fires at shutdown: nothing more is to be taken from a broker. What is under way ends before the service does. */
  stopping: AbortSignal
  /** Handles a delivery; the outcome is for the broker. Never throws, unless `settle` does. */
  take: (broker: string, consumer: MessageConsumer, delivery: Delivery, settle: (outcome: Outcome) => Promise<void>) => Promise<void>
}

/** Before the end of the grace at shutdown, for messages whose signal fires. */
const GIVE_BACK_MS = 2_000
const SOURCE = /^[!-~]{1,255}$/

/** Handles the messages of brokers: each has its effect once, whatever is delivered how often. */
async function inboxPlugin (fastify: FastifyInstance) {
  const { prisma, log, shutdown, config: { MESSAGE_SOURCE } } = fastify
  if (!SOURCE.test(MESSAGE_SOURCE)) throw new Error('MESSAGE_SOURCE: expected a URI reference such as /orders, at most 255 characters')
  const metrics = new MessageMetrics()
  const stopping = new AbortController()
  const ending = new AbortController()
  const underWay = new Set<{ name: string, done: Promise<void> }>()

  async function take (broker: string, consumer: MessageConsumer, delivery: Delivery, settle: (outcome: Outcome) => Promise<void>): Promise<void> {
    const labels = { broker, consumer: consumer.name }
    if (delivery.attempt > 1) metrics.redelivered.inc(labels)
    const measure = metrics.seconds.startTimer(labels)
    const outcome = await handle(consumer, delivery, { prisma, log, broker, stopping: stopping.signal, ending: ending.signal })
    try {
      await settle(outcome)
    } finally {
      measure()
      metrics.handled.inc({ ...labels, outcome: outcome.kind })
    }
  }

  fastify.decorate('inbox', {
    metrics,
    source: MESSAGE_SOURCE,
    stopping: stopping.signal,
    take: async (broker, consumer, delivery, settle) => {
      if (stopping.signal.aborted) return await settle({ kind: 'released' })
      const entry = { name: consumer.name, done: take(broker, consumer, delivery, settle) }
      underWay.add(entry)
      await entry.done.finally(() => underWay.delete(entry))
    }
  })

  shutdown.watch('messages', () => [...underWay].map(({ name }) => name))
  fastify.addHook('onReady', async () => {
    if (fastify.hasDecorator('metrics') && fastify.metrics.isOn) metrics.register(fastify.metrics.registry)
  })
  fastify.addHook('preClose', async () => {
    stopping.abort()
    const graceMs = Math.max(shutdown.remainingMs() - GIVE_BACK_MS, shutdown.remainingMs() / 2)
    setTimeout(() => ending.abort(new Error('The service is shutting down')), graceMs).unref()
    await within(Promise.allSettled([...underWay].map(({ done }) => done)), shutdown.remainingMs(), () => {})
  })
}

export type { MessageConsumerDefinition, Message } from './definition.ts'
export type { Outcome } from './handle.ts'
export type { Delivery } from './message.ts'
export default fp(inboxPlugin, { name: 'inbox', dependencies: ['config', 'database', 'events', 'jobs', 'shutdown'] })

import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Prisma, PrismaClient } from '../../prisma/generated/client.ts'
import { bindingsOf, tracing, type Carrier } from '../../server/trace.ts'
import { wordsOf } from '../errors/words.ts'
import { isOutage } from '../events/outage.ts'
import { delayAfter, type Message, type MessageConsumer } from './definition.ts'
import { BadMessageError, readMessage, type Content, type Delivery } from './message.ts'

/** What is to become of a delivery. Whoever got it tells the broker. */
export type Outcome =
  | { kind: 'done' | 'duplicate' | 'released' }
  /** Again after so long. */
  | { kind: 'retry', delayMs: number }
  | { kind: 'dead', reason: string }

export interface Handling {
  prisma: PrismaClient
  log: FastifyBaseLogger
  broker: string
  /** Fires when no more is begun: what waits for its surroundings is given back. */
  stopping: AbortSignal
  /** Fires when what is under way has to end. */
  ending: AbortSignal
}

const WAIT_FOR_CONNECTION_MS = 15_000
const MAX_OUTAGE_PAUSE_MS = 5_000
/** Deliveries without an end, of processes that died or stopped: beyond the retries. */
const MAX_LOST = 20

/** Handles a delivery in a transaction with the note that it was handled. Never throws. */
export async function handle (consumer: MessageConsumer, delivery: Delivery, handling: Handling): Promise<Outcome> {
  const log = handling.log.child({ broker: handling.broker, consumer: consumer.name, attempt: delivery.attempt })
  try {
    if (delivery.attempt > consumer.retry.limit + 1 + MAX_LOST) throw new BadMessageError(`It was delivered ${delivery.attempt} times, and no attempt came to an end: it may end the process`)
    return await carryOut(consumer, readMessage(consumer, delivery), delivery, { ...handling, log })
  } catch (error) {
    const reason = wordsOf(error)
    log.error({ reason }, error instanceof BadMessageError ? 'a message can\'t be read: it is a dead letter' : 'a message can\'t be handled: it is a dead letter')
    return { kind: 'dead', reason }
  }
}

async function carryOut (consumer: MessageConsumer, content: Content, { attempt }: Delivery, handling: Handling): Promise<Outcome> {
  const { broker } = handling
  const log = handling.log.child({ messageId: content.id, ...bindingsOf(content.origin) })
  const attempts = async (carrier: Carrier) => await persist(consumer, { ...content, attempt, log, origin: { ...content.origin, ...carrier } }, { ...handling, log })
  const { inJob } = tracing() ?? {}
  if (inJob === undefined) return await attempts({})
  return await inJob({ queue: consumer.name, id: content.id, attempt, system: broker }, content.origin, attempts, ({ kind }) => kind === 'done' || kind === 'duplicate')
}

type Given = Omit<Message<unknown>, 'signal' | 'type' | 'subject' | 'time'> & Pick<Content, 'type' | 'subject' | 'time'>

/** Tries until the surroundings are as they should be; what is the message's fault counts as an attempt. */
async function persist (consumer: MessageConsumer, message: Given, handling: Handling): Promise<Outcome> {
  const { log, stopping, ending } = handling
  const began = performance.now()
  for (let outages = 0; ; outages++) {
    try {
      const kind = await once(consumer, message, handling)
      log.info({ durationMs: Math.round(performance.now() - began) }, kind === 'done' ? 'message handled' : 'a message that was handled before came again')
      return { kind }
    } catch (error) {
      if (ending.aborted) {
        log.info('the service is shutting down: the message is given back')
        return { kind: 'released' }
      }
      if (!isOutage(error)) return failed(consumer, message, error)
      if (outages === 0) log.warn({ err: error }, 'a message can\'t be handled now, and will be tried again')
    }
    const pauseMs = Math.min(MAX_OUTAGE_PAUSE_MS, 100 * 2 ** Math.min(outages, 10))
    await sleep(pauseMs, undefined, { signal: stopping }).catch(() => {})
    if (stopping.aborted) return { kind: 'released' }
  }
}

function failed ({ retry }: MessageConsumer, { attempt, log }: Given, error: unknown): Outcome {
  const { retry: again, retryAfterMs } = Object(error) as { retry?: boolean, retryAfterMs?: number }
  if (again === false || attempt > retry.limit) {
    log.error({ err: error }, 'a message failed for the last time: it is a dead letter')
    return { kind: 'dead', reason: wordsOf(error) }
  }
  log.warn({ err: error }, 'a message failed, and will be tried again')
  const wanted = Number.isFinite(retryAfterMs) ? Math.min(Number(retryAfterMs), retry.maxDelayMs) : 0
  return { kind: 'retry', delayMs: Math.max(wanted, delayAfter(attempt, retry)) }
}

/** One attempt: the note that it was handled and what the handler does are committed together, or neither is. */
async function once ({ name, timeoutMs, handler }: MessageConsumer, message: Given, { prisma, broker, ending }: Handling): Promise<'done' | 'duplicate'> {
  return await prisma.$transaction(async tx => {
    // A delivery of the same message at the same time waits here for what becomes of the other.
    const isNew = await note(tx, `${broker}/${name}`, message)
    if (!isNew) return 'duplicate'
    const late = AbortSignal.timeout(timeoutMs)
    const signal = AbortSignal.any([ending, late])
    const { promise: ended, reject } = Promise.withResolvers<never>()
    const end = () => reject(late.aborted ? new Error(`The attempt took longer than ${timeoutMs / 1000} s`) : signal.reason)
    signal.addEventListener('abort', end)
    try {
      // One that does not heed its signal ends for us all the same: its transaction is rolled back.
      await Promise.race([handler({ ...message, signal } as Message<never>, tx), ended])
    } finally {
      signal.removeEventListener('abort', end)
    }
    return 'done'
  }, { maxWait: WAIT_FOR_CONNECTION_MS, timeout: timeoutMs + 1_000 })
}

async function note (tx: Prisma.TransactionClient, consumer: string, { source, id }: Given): Promise<boolean> {
  return await tx.$executeRaw`INSERT INTO handled_messages (consumer, source, id) VALUES (${consumer}, ${source}, ${id}) ON CONFLICT DO NOTHING` === 1
}

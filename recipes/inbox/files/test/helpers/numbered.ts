// What tests of message brokers share: events and messages that are numbers, and what handling them leaves behind.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { MessageHandler } from '../../plugins/inbox/definition.ts'
import type { Message } from '../../plugins/inbox/index.ts'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'

export const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
export const Payload = Type.Object({ n: Type.Integer() }, { additionalProperties: false })
/** For messages that are handled at once: the embedded database runs transactions one after the other. */
export const onServer = { skip: process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set' }
export type Handler = (message: Message<{ n: number }>) => Promise<void>

/** A handler that waits for its signal the first time, and is done at once from then on; and the attempts that it saw. */
export function heedful (): { handler: Handler, attempts: number[] } {
  const attempts: number[] = []
  const handler: Handler = async ({ signal, attempt }) => {
    attempts.push(attempt)
    if (attempts.length > 1) return
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  return { handler, attempts }
}

/** What tests of a broker do to the database of their file, and read there. */
export function numbersIn ({ prisma }: FastifyInstance, broker: string) {
  /** Records an event. */
  async function record (n: number, { type = 'thing.changed', text }: { type?: string, text?: string } = {}): Promise<void> {
    await inTransaction(prisma, tx => recordEvent(tx, { type, subject: randomUUID(), data: { n, text } }))
  }

  /** The place in the log is of the database: each test begins where the log ends. */
  async function fromHere (): Promise<void> {
    await prisma.eventConsumer.deleteMany({ where: { name: broker } })
  }

  /** A handler that leaves a mail for each message, through its transaction. */
  function leaving (recipient: string, handler: Handler): MessageHandler<{ n: number }> {
    return async (message, tx) => {
      await handler(message)
      await tx.mail.create({ data: { id: randomUUID(), recipient, subject: String(message.payload.n), text: '' } })
    }
  }

  /** The numbers of what was left, in their order. */
  async function left (recipient: string): Promise<number[]> {
    return (await prisma.mail.findMany({ where: { recipient } })).map(({ subject }) => Number(subject)).sort((a, b) => a - b)
  }

  return { record, fromHere, leaving, left }
}

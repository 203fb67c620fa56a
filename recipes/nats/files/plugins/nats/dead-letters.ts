import { jetstream, type JsMsg } from '@nats-io/jetstream'
import { errors, headers, type MsgHdrs } from '@nats-io/transport-node'
import { BrokerAwayError } from '../inbox/broker-away.ts'
import { line } from './headers.ts'
import type { NatsLink } from './link.ts'
import { ensureStream, hasCode, managerOf, nameOf, type StreamNeed } from './streams.ts'

const ACK_MS = 5_000
/** JSStreamMessageExceedsMaximumErr and JSStreamHeaderExceedsMaximumErr of the server's list of errors. */
const TOO_LARGE = [10054, 10097]

/** Messages that could not be handled, with the reason: in a stream of their own, a subject for each consumer. */
export class DeadLetters {
  readonly #link: NatsLink
  readonly #stream: StreamNeed
  readonly #prefix: string

  constructor (link: NatsLink, stream: StreamNeed, prefix: string) {
    this.#link = link
    this.#stream = stream
    this.#prefix = prefix
  }

  /** Resolves when it is stored; the same message once. @throws when it is not */
  async store (consumer: string, message: JsMsg, reason: string): Promise<void> {
    const { connection } = this.#link
    if (connection === undefined) throw new BrokerAwayError('There is no connection with NATS')
    await ensureStream(await managerOf(connection), this.#stream)
    const { stream, streamSequence, deliveryCount } = message.info
    const given = { ...copyOf(message.headers), 'dead-reason': line(reason), 'dead-stream': stream, 'dead-sequence': String(streamSequence), 'dead-subject': message.subject, 'dead-attempts': String(deliveryCount), 'dead-time': new Date().toISOString() }
    const publish = async (body: Uint8Array, values: Record<string, string>) => {
      // Without the header for the stream that is expected: whoever sends the letter again would have it as well.
      await jetstream(connection).publish(`${this.#prefix}.${consumer}`, body, { msgID: `${consumer}:${stream}:${nameOf(message)}`, headers: toHeaders(values), timeout: ACK_MS })
    }
    try {
      await publish(message.data, given)
    } catch (error) {
      if (!isTooLarge(error)) throw error
      // With its reason it is larger than the server, or the stream, takes: where it was is said, what it was is there.
      await publish(new Uint8Array(), { ...Object.fromEntries(Object.entries(given).filter(([name]) => name.startsWith('dead-'))), 'dead-body': 'too large' })
    }
  }
}

/** As the client says it before it sends, and as JetStream answers. */
function isTooLarge (error: unknown): boolean {
  return ((error as Error).cause ?? error) instanceof errors.InvalidArgumentError || TOO_LARGE.some(code => hasCode(error, code))
}

/** What the sender said, without what is for the server, or looks like words of ours. */
function copyOf (given: MsgHdrs | undefined): Record<string, string> {
  return Object.fromEntries([...given ?? []].filter(([name]) => !/^(?:nats|dead)-/i.test(name)).map(([name, [value = '']]) => [name, value]))
}

function toHeaders (values: Record<string, string>): MsgHdrs {
  const result = headers()
  for (const [name, value] of Object.entries(values)) result.set(name, value)
  return result
}

import { JetStreamApiCodes, JetStreamApiError, jetstreamManager, type JetStreamManager, type JsMsg } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'

/** A stream that is made where there is none of its name. One that is there is the operator's, and left as it is. */
export interface StreamNeed {
  name: string
  subjects: string[]
  /** How long it keeps messages, in milliseconds; for ever without it. */
  maxAgeMs?: number
}

const NANOS = 1_000_000
/** For so long a message with the same id is not stored twice. */
const DUPLICATES_MS = 600_000
const NAME_IN_USE = 10_058

/** The API for streams and consumers, of a connection that is there. */
export async function managerOf (connection: NatsConnection): Promise<JetStreamManager> {
  return await jetstreamManager(connection, { checkAPI: false })
}

/** @returns whether it was made now */
export async function ensureStream (manager: JetStreamManager, { name, subjects, maxAgeMs = 0 }: StreamNeed): Promise<boolean> {
  try {
    await manager.streams.info(name)
    return false
  } catch (error) {
    if (!hasCode(error, JetStreamApiCodes.StreamNotFound)) throw error
  }
  try {
    await manager.streams.add({
      name,
      subjects,
      max_age: maxAgeMs * NANOS,
      duplicate_window: Math.min(DUPLICATES_MS, maxAgeMs || DUPLICATES_MS) * NANOS
    })
    return true
  } catch (error) {
    // Another process was faster.
    if (hasCode(error, NAME_IN_USE)) return false
    throw error
  }
}

/** What a message is called in its stream: one that is made anew counts from 1 again, so that a sequence is that of one message with its time. */
export function nameOf ({ info: { streamSequence, timestampNanos } }: JsMsg): string {
  return `${streamSequence}-${timestampNanos}`
}

/** Whether the JetStream API answered with that error. */
export function hasCode (error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code
}

import { createHash } from 'node:crypto'
import { traceIdOf } from '../../server/trace.ts'
import type { StoredEvent } from '../events/index.ts'

/** The attributes of a domain event as a CloudEvent 1.0; its data is the event's `json`. */
export interface CloudEvent { specversion: string, id: string, source: string, type: string, subject: string, time: string, traceparent?: string }

/** @param source of the service: a URI reference */
export function toCloudEvent ({ position, type, subject, json, origin }: StoredEvent, source: string): CloudEvent {
  const { at } = JSON.parse(json) as { at: string }
  const traceparent = traceIdOf(origin?.traceparent) === undefined ? undefined : origin?.traceparent
  return { specversion: '1.0', id: eventId(position, json), source, type, subject, time: at, ...traceparent === undefined ? {} : { traceparent } }
}

/**
 * The id of an event, always the same. It begins with the position, so that ids sort as the events do; a database that went
 * back to a backup gives positions anew, so the rest is of what the event says. A UUID, version 8.
 */
function eventId (position: bigint, json: string): string {
  const bytes = createHash('sha256').update(json).digest().subarray(0, 16)
  bytes.writeUIntBE(Number(BigInt.asUintN(48, position)), 0, 6)
  bytes.writeUInt8(bytes.readUInt8(6) & 0x0f | 0x80, 6)
  bytes.writeUInt8(bytes.readUInt8(8) & 0x3f | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

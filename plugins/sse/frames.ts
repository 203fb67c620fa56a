// The wire format of server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
import type { ResetReason, StoredEvent } from '../events/index.ts'

const frames = new WeakMap<StoredEvent, Buffer>()
let beat: { position: bigint, frame: Buffer } | undefined

/** An event as it is sent, made once for all clients. */
export function eventFrame (event: StoredEvent): Buffer {
  let frame = frames.get(event)
  if (frame === undefined) {
    frame = Buffer.from(`event: ${event.type}\nid: ${event.position}\ndata: ${event.json}\n\n`)
    frames.set(event, frame)
  }
  return frame
}

/** Tells the client that what it asked for can't be resumed: it must read anew what it follows. */
export function resetFrame (position: bigint, reason: ResetReason): Buffer {
  return Buffer.from(`event: reset\nid: ${position}\ndata: ${JSON.stringify({ id: String(position), reason })}\n\n`)
}

/** Without data, so that nothing happens at the client but that it knows from where to resume. */
export function positionFrame (position: bigint): Buffer {
  return Buffer.from(`id: ${position}\n\n`)
}

/** Shows that the connection is alive, to both ends and what is between. Clients that are up to date share it. */
export function beatFrame (position: bigint): Buffer {
  if (beat?.position !== position) beat = { position, frame: Buffer.from(`:\nid: ${position}\n\n`) }
  return beat.frame
}

/** When a client that has lost the connection is to come back: not all at the same moment. */
export function retryFrame (fromMs: number, toMs: number): Buffer {
  return Buffer.from(`retry: ${Math.round(fromMs + Math.random() * (toMs - fromMs))}\n\n`)
}

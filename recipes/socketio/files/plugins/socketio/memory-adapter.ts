import { Adapter, SessionAwareAdapter, type BroadcastOptions } from 'socket.io-adapter'
import type { Passage } from './adapters.ts'
import { concerns, setAside, type Missed, type Packet, type Session } from './recovery.ts'

/** As through Redis. */
const KEPT_MAX = 10_000

interface Kept { id: string, opts: BroadcastOptions, data: Packet }

/** One process: what it sends to rooms is kept for clients that come back. */
class MemoryAdapter extends SessionAwareAdapter {
  override broadcast (packet: unknown, options: BroadcastOptions): void {
    // Domain events are the event log's to keep: a client that comes back says from where on.
    if (options.flags?.local === true) Adapter.prototype.broadcast.call(this, packet, options)
    else super.broadcast(packet as never, options)
    const { packets } = this as unknown as { packets: Kept[] }
    // Whose last message is gone by then begins anew.
    if (packets.length > KEPT_MAX) packets.splice(0, packets.length - KEPT_MAX)
  }

  override async restoreSession (pid: string, offset: string): Promise<never> {
    const session = await super.restoreSession(pid, offset) as unknown as Session | null
    // Once, as through Redis.
    ;(this as unknown as { sessions: Map<string, unknown> }).sessions.delete(pid)
    return (session === null ? null : setAside(session, offset)) as never
  }

  missed ({ rooms, offset }: Missed): Packet[] {
    const { packets } = this as unknown as { packets: Kept[] }
    return packets.slice(packets.findIndex(({ id }) => id === offset) + 1).filter(({ opts }) => concerns(rooms, opts)).map(({ data }) => data)
  }
}

export function memoryPassage (): Passage {
  let adapter: MemoryAdapter | undefined
  return {
    create: namespace => (adapter = new MemoryAdapter(namespace)),
    keepsAll: true,
    recovers: true,
    offset: () => undefined,
    missed: missed => adapter?.missed(missed) ?? [],
    isThere: () => true,
    close: async () => {}
  }
}

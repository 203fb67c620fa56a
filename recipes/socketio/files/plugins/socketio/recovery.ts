/** The arguments of an event and, as the last, its place among the messages: the client sends that when it comes back. */
export type Packet = [event: string, ...unknown[]]

/**
 * What a client missed, when it was asked for. The library would send that before it knows who comes back, and what was said between
 * asking and the connection would be lost or come twice: so it is kept with the session until there is the connection.
 */
export interface Missed { rooms: string[], offset: string, packets: Packet[] }

export interface Session { rooms: string[], data: unknown, missedPackets: Packet[] }

/** Takes what was missed out of a session, into its data. */
export function setAside<T extends Session> (session: T, offset: string): T {
  const missed: Missed = { rooms: session.rooms, offset, packets: session.missedPackets }
  return { ...session, missedPackets: [], data: { ...session.data as object, missed } }
}

/** Whether who is in these rooms gets what was sent with these options. */
export function concerns (rooms: string[], options: { rooms: Iterable<string>, except?: Iterable<string> }): boolean {
  const [to, except] = [new Set(options.rooms), new Set(options.except)]
  return (to.size === 0 || rooms.some(room => to.has(room))) && !rooms.some(room => except.has(room))
}

import type { EventHub, Following, StoredEvent } from '../events/index.ts'
import { goodbyes, type Connection } from './connection.ts'

/** Domain events that clients get: those of a topic that concern them. */
export interface Follow { topic: string, scopes: string[] }

/** The event that is being passed on: read once, whoever gets it. */
const bodies = new WeakMap<StoredEvent, object>()

/**
 * Follows the events of some topics that concern the user of a connection: from the one that the client says that it has seen
 * last, or from now on. A topic is the name of the events that the client gets.
 * @param onOpen is called first, with the place in the log that events follow from
 */
export async function follow (hub: EventHub, connection: Connection, topics: string[], after: string | undefined, onOpen: (lastEventId: string) => void): Promise<Following> {
  // One reader for all topics, as the client has one place in the log.
  return await hub.subscribe({
    opened: position => onOpen(String(position)),
    event: event => {
      const topic = topics.find(topic => event.type.startsWith(`${topic}.`))
      if (topic === undefined) return true
      const body = bodies.get(event) ?? JSON.parse(event.json) as object
      bodies.set(event, body)
      connection.send(topic, body)
      return connection.drained() === undefined
    },
    reset: (position, reason) => connection.send('reset', { id: String(position), reason }),
    drained: () => connection.drained(),
    failed: () => connection.end(goodbyes.failed)
  }, { ownerId: connection.user.id, ...after === undefined ? {} : { after } })
}

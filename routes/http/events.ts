// What every stream of events takes and may say, whatever the events are of.
import { Type } from 'typebox'
import { oneOf } from '../schemas.ts'
import { Ticket } from '../ws/schemas.ts'

export const position = Type.String({ pattern: '^[0-9]+$', maxLength: 19, description: 'Place in the log of events: grows, with gaps; send it as Last-Event-ID to go on behind it' })

export const EventsReset = Type.Object({
  id: position,
  reason: oneOf(['malformed', 'future', 'expired'], { description: 'The position is none, was never given out, or what followed it is no longer kept' })
}, {
  $id: 'EventsReset',
  description: 'The stream can\'t be resumed where it was asked to (`event: reset`): read anew what they are of; events follow from `id` on'
})

const TEXT = '^[\\s\\S]*$'
/** Longer than any URL or header that the server takes: what is no position is answered with a reset. */
const lastEventId = Type.Optional(Type.String({ maxLength: 16_384, pattern: TEXT, description: 'The `id` to go on behind; without it, the stream begins now' }))
export const eventsHeaders = Type.Object({ 'last-event-id': lastEventId })
export const eventsQuery = Type.Object({ lastEventId, ticket: Type.Optional(Ticket.properties.ticket) }, { additionalProperties: false })

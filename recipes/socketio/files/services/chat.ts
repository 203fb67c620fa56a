import { randomUUID } from 'node:crypto'
import { DomainError } from './errors.ts'
import type { Actor } from './scopes.ts'

/** A message as everybody in the room gets it. `id` is the sender's: of a message that is sent again clients keep one. */
export interface ChatMessage { id: string, room: string, from: string, text: string, at: string }

/** Sends to a room: plugins/socketio does. */
export type SendToRoom = (room: string, event: string, data: object) => Promise<void>

/** The name of a chat's room: apart from those that the service has for itself. */
export function roomOf (name: string): string {
  return `chat:${name}`
}

/**
 * Says something in a room that one is in.
 * @param rooms that the sender is in
 * @throws DomainError NOT_FOUND
 */
export async function say (send: SendToRoom, { id: from }: Actor, rooms: ReadonlySet<string>, { room, text, id = randomUUID() }: { room: string, text: string, id?: string }): Promise<ChatMessage> {
  if (!rooms.has(roomOf(room))) throw new DomainError('NOT_FOUND', 'Enter the room first.')
  const message = { id, room, from, text, at: new Date().toISOString() }
  await send(roomOf(room), 'chat.message', message)
  return message
}

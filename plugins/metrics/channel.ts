import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'

/** Hears what a plugin publishes on a diagnostics channel, until the service closes. The plugin may be missing. */
export function hear<Message> (fastify: FastifyInstance, name: string, listener: (message: Message) => void): void {
  const receive = (message: unknown) => listener(message as Message)
  subscribe(name, receive)
  fastify.addHook('onClose', async () => { unsubscribe(name, receive) })
}

import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import type { Config } from '../../plugins/config/index.ts'
import { bearer } from './app.ts'
import { buildGraphql } from './graphql.ts'
import { openRaw as openRawAt, portOf } from './socket.ts'

export interface Update { __typename: string, id: string, type: string, orderId: string, order: { id: string, status: string, user: { id: string }, items: { product: { stock: number } }[] }, reason: string }
interface Result { data?: { orderUpdates: Update } | null, errors?: { message: string, extensions: { code: string, status: number } }[] }
interface Message { type: string, id?: string, payload?: Result & Result['errors'] }

export const PROTOCOL = 'graphql-transport-ws'
export const path = '/graphql'
export const UPDATES = 'subscription ($id: UUID, $after: String) { orderUpdates(id: $id, after: $after) { __typename ... on OrderEvent { id type orderId order { id status } } ... on EventsReset { id reason } } }'

/** The service with GraphQL, on a port of its own. */
export async function listening (t: Test, overrides: Partial<Config> = {}): Promise<FastifyInstance> {
  const app = await buildGraphql(t, overrides)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/** What a message says that happened. */
export function updateIn ({ payload }: Message): Update {
  if (!payload?.data) throw new Error(`no update: ${JSON.stringify(payload)}`)
  return payload.data.orderUpdates
}

/** A client by hand: it says what it is told to. */
export async function open (t: Test, fastify: FastifyInstance, token: string, { init = true, protocol = PROTOCOL, query = '' } = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(fastify)}${path}${query}`, protocol, { headers: token === '' ? {} : bearer(token) })
  t.teardown(() => socket.terminate())
  const messages: Message[] = []
  const waiting: ((message: Message) => void)[] = []
  let read = 0
  socket.on('message', data => {
    messages.push(JSON.parse(String(data)))
    const waiter = waiting.shift()
    if (waiter) waiter(messages[read++] as Message)
  })
  const closed = new Promise<{ code: number, reason: string }>(resolve => socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })))
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  const client = {
    socket,
    messages,
    closed,
    send: (message: object) => socket.send(JSON.stringify(message)),
    next: async (): Promise<Message> => read < messages.length ? messages[read++] as Message : await new Promise(resolve => waiting.push(resolve)),
    subscribe: (payload: object, id: string = randomUUID()) => { client.send({ id, type: 'subscribe', payload }) }
  }
  if (init) {
    client.send({ type: 'connection_init' })
    t.match(await client.next(), { type: 'connection_ack' })
  }
  return client
}

/** Subscribes, and waits until the service follows for it. */
export async function follow (t: Test, fastify: FastifyInstance, token: string, variables: object = {}, query = UPDATES) {
  const client = await open(t, fastify, token)
  const before = fastify.events.subscribers
  client.subscribe({ query, variables })
  while (fastify.events.subscribers === before && client.messages.length === 1) await sleep(5)
  return client
}

/** A connection that answers nothing by itself, and whose end is no error. */
export async function openRaw (t: Test, fastify: FastifyInstance, token: string): Promise<Socket> {
  return (await openRawAt(t, fastify, token, path, PROTOCOL)).on('error', () => {})
}

import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client'
import type { Test } from 'tap'
import { until } from './until.ts'

export interface Client {
  socket: Socket
  /** All that came, in order. */
  got: { event: string, data: Record<string, unknown> }[]
  of: (event: string) => Record<string, unknown>[]
  /** Sends an event and gives its acknowledgement. */
  ask: (event: string, ...args: unknown[]) => Promise<{ data?: unknown, error?: { code: string, status: number, detail: string } }>
  /** Until an event of the name has come so often. */
  until: (event: string, count?: number) => Promise<Record<string, unknown>[]>
}

export const urlOf = (app: FastifyInstance) => `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`

/** A client that does not connect yet. Ends with the test. */
export function client (t: Test, url: string, options: Partial<ManagerOptions & SocketOptions> = {}): Client {
  const socket = io(url, { transports: ['websocket'], forceNew: true, autoConnect: false, ...options })
  t.teardown(() => { socket.disconnect() })
  const got: Client['got'] = []
  socket.onAny((event: string, data: Record<string, unknown>) => got.push({ event, data }))
  const of = (event: string) => got.filter(one => one.event === event).map(({ data }) => data)
  return {
    socket,
    got,
    of,
    ask: async (event, ...args) => await socket.timeout(30_000).emitWithAck(event, ...args) as never,
    until: async (event, count = 1) => await until(() => of(event).length >= count ? of(event) : undefined)
  }
}

/** A client that was greeted. Rejects when it is refused. */
export async function connect (t: Test, url: string, token: string, options: Partial<ManagerOptions & SocketOptions> = {}): Promise<Client> {
  const one = client(t, url, { auth: { token }, ...options })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  one.socket.once('welcome', () => resolve()).once('connect_error', reject)
  one.socket.connect()
  await promise
  return one
}

/** What a client is told next under a name, also of itself: `disconnect`, `connect_error`. */
export async function next (socket: Socket, event: string): Promise<unknown> {
  return await new Promise(resolve => { socket.once(event, resolve) })
}

// A service with Socket.IO, and what its tests ask of it.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect as openSocket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp } from './app.ts'
import { portOf } from './socket.ts'
import { client, next, urlOf } from './socketio.ts'

export const page = 'https://app.example.com'

export async function listening (t: Test, overrides: Partial<Config> = {}, extend?: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = await buildApp(t, { ALLOWED_ORIGINS: [page], ...overrides }, extend)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/** A token of nobody in particular. */
export const tokenOf = (app: FastifyInstance, id: string = randomUUID(), scopes = ['orders:read', 'orders:write']) => app.accessTokens.issue({ id, scopes }).accessToken

/** Why a client does not get in. */
export async function refusal (t: Test, app: FastifyInstance, options: Parameters<typeof client>[2]): Promise<{ message: string, data?: { code: string, status: number } }> {
  const { socket } = client(t, urlOf(app), { reconnection: false, ...options })
  const refused = next(socket, 'connect_error')
  socket.connect()
  return await refused as never
}

/** The answer to a request for an upgrade, as it is on the wire. */
export async function raw (app: FastifyInstance, path: string, headers: Record<string, string> = {}): Promise<string> {
  const socket = openSocket(portOf(app), '127.0.0.1')
  socket.write([`GET ${path} HTTP/1.1`, ...Object.entries({ Host: 'x', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...headers }).map(pair => pair.join(': ')), '', ''].join('\r\n'))
  const [data] = await once(socket, 'data') as [Buffer]
  socket.destroy()
  return String(data)
}

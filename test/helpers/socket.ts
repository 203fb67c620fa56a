import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { Ajv, type ValidateFunction } from 'ajv'
import formats from 'ajv-formats'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import type { Config } from '../../plugins/config/index.ts'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { bearer, buildApp } from './app.ts'

/** A message, as it was on the wire. */
export interface Message { type: string, topic?: string, id?: string, code?: string, detail?: string, reason?: string, event?: { id: string, type: string, orderId: string, at: string, order: { id: string, status: string } } }
export interface Closed { code: number, reason: string }
export interface ConnectOptions { token?: string, protocols?: string[], query?: string, headers?: Record<string, string>, path?: string, pause?: boolean }

/** A client; what it sends and gets is held against asyncapi.json. */
export interface Client {
  socket: WebSocket
  /** The headers that opened it. */
  headers: IncomingMessage['headers']
  /** All that came, in order. */
  messages: Message[]
  send: (message: object) => void
  /** The next message that did not come yet when it was last asked for one. */
  next: () => Promise<Message>
  /** Asks, and gives the next message. */
  ask: (message: object) => Promise<Message>
  closed: Promise<Closed>
}

interface Document { components: { messages: Record<string, { payload: object }> } }

const document = JSON.parse(readFileSync('asyncapi.json', 'utf8')) as Document
const ajv = new Ajv({ strict: false, allErrors: true })
formats.default(ajv)
ajv.addSchema(document, 'asyncapi.json')
const validators = new Map<string, ValidateFunction>()
const clientTypes = ['subscribe', 'unsubscribe', 'ack', 'ping']

/** What is wrong with a message by the AsyncAPI document; undefined: nothing. */
function violation (message: unknown, sender: 'client' | 'service'): string | undefined {
  const { type } = (message ?? {}) as { type?: string }
  const names = Object.keys(document.components.messages).filter(name => clientTypes.includes(name) === (sender === 'client') && (name === type || name.includes(`.${type}.`)))
  const faults = names.map(name => {
    const validate = validators.get(name) ?? ajv.compile({ $ref: `asyncapi.json#/components/messages/${name}/payload` })
    validators.set(name, validate)
    return validate(message) ? undefined : ajv.errorsText(validate.errors)
  })
  if (names.length === 0) return `there is no message of the type ${type}`
  return faults.includes(undefined) ? undefined : faults.join('; or ')
}

/** The service, on a port of its own. */
export async function listening (t: Test, overrides: Partial<Config> = {}): Promise<FastifyInstance> {
  const app = await buildApp(t, overrides)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

export function portOf (app: FastifyInstance): number {
  return (app.server.address() as AddressInfo).port
}

/** Connects. Rejects with the answer (`Refused`) when there is no WebSocket to be had. Ends with the test. */
export async function open (t: Test, app: FastifyInstance, options: ConnectOptions = {}): Promise<Client> {
  const { token, protocols = ['keel.v1'], query = '', path = '/ws' } = options
  const headers = { ...token === undefined ? {} : bearer(token), ...options.headers }
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}${query}`, protocols, { headers })
  t.teardown(() => socket.terminate())
  const messages: Message[] = []
  const waiting: ((message: Message) => void)[] = []
  let read = 0
  socket.on('message', (data, isBinary) => {
    const message = JSON.parse(String(data)) as Message
    const fault = isBinary ? 'it is binary' : violation(message, 'service')
    if (fault !== undefined) t.fail(`not as asyncapi.json says: ${fault}: ${String(data).slice(0, 200)}`)
    messages.push(message)
    const waiter = waiting.shift()
    if (waiter === undefined) return
    read++
    waiter(message)
  })
  const closed = new Promise<Closed>(resolve => socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })))
  let upgrade: IncomingMessage | undefined
  socket.on('upgrade', response => { upgrade = response })
  await new Promise<void>((resolve, reject) => {
    socket.on('open', resolve)
    socket.on('error', reject)
    socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', chunk => { body += String(chunk) }).on('end', () => reject(new Refused(response, body)))
    })
  })
  const client: Client = {
    socket,
    headers: upgrade?.headers ?? {},
    messages,
    closed,
    send (message) {
      const fault = violation(message, 'client')
      if (fault !== undefined) t.fail(`not as asyncapi.json says: ${fault}`)
      socket.send(JSON.stringify(message))
    },
    async next () {
      if (read < messages.length) return messages[read++]!
      return await new Promise(resolve => waiting.push(resolve))
    },
    async ask (message) {
      client.send(message)
      return await client.next()
    }
  }
  return client
}

/** The answer of HTTP to a request for a WebSocket. */
export class Refused extends Error {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly problem: { code: string, detail: string }

  constructor ({ statusCode = 0, headers }: IncomingMessage, body: string) {
    super(`${statusCode} ${body}`)
    this.status = statusCode
    this.headers = headers
    this.problem = JSON.parse(body)
  }
}

/** What the service answers to a request for a WebSocket that it refuses. */
export async function refusal (t: Test, app: FastifyInstance, options: ConnectOptions = {}): Promise<Refused> {
  try {
    await open(t, app, options)
  } catch (error) {
    if (error instanceof Refused) return error
    throw error
  }
  throw new Error('it was not refused')
}

/** A WebSocket by hand, on a bare socket that reads and answers nothing by itself. */
export async function openRaw (t: Test, app: FastifyInstance, token: string): Promise<Socket> {
  const socket = connect(portOf(app), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.write(`GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  const answer = await new Promise<string>(resolve => socket.once('data', chunk => resolve(String(chunk))))
  if (!answer.startsWith('HTTP/1.1 101')) throw new Error(answer)
  return socket
}

/** Events of one user, some in each transaction; each item makes them 350 bytes longer. */
export async function recordEvents (app: FastifyInstance, ownerId: string, count: number, items = 1): Promise<void> {
  const id = randomUUID()
  const price = { amount: 1999, currency: 'EUR' }
  const item = { productId: randomUUID(), sku: 'LAMP-1', name: 'x'.repeat(200), quantity: 1, unitPrice: price }
  const order = { id, status: 'paid', items: Array.from({ length: items }, () => item), total: price, createdAt: new Date(), updatedAt: new Date() }
  for (let n = 0; n < count; n += 50) {
    await inTransaction(app.prisma, async tx => {
      for (let i = n; i < Math.min(n + 50, count); i++) await recordEvent(tx, { type: 'order.paid', subject: id, ownerId, data: { orderId: id, order } })
    })
  }
}

/** A masked text frame of a client, with whatever the payload is. */
export function frame (payload: string | Buffer, opcode = 0x81): Buffer {
  const data = Buffer.from(payload)
  const length = data.length < 126 ? Buffer.from([0x80 | data.length]) : Buffer.from([0x80 | 126, data.length >> 8, data.length & 0xff])
  // A mask of zeros leaves the data as it is.
  return Buffer.concat([Buffer.from([opcode]), length, Buffer.alloc(4), data])
}

import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { Ajv, type ValidateFunction } from 'ajv'
import formats from 'ajv-formats'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import type { Config } from '../../plugins/config/index.ts'
import { compiledOnce } from '../../server/compiled.ts'
import { bearer, buildApp } from './app.ts'

/** A message, as it was on the wire. */
export interface Message { type: string, topic?: string, id?: string, code?: string, detail?: string, reason?: string, event?: { id: string, type: string, at: string, [field: string]: unknown } }
export interface Closed { code: number, reason: string }
export interface ConnectOptions { token?: string, protocols?: string[], query?: string, headers?: Record<string, string>, path?: string, pause?: boolean }

/** A client; what it sends and gets is held against the AsyncAPI document of the service. */
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

/** The apps of a test file mostly have one and the same document. */
const compiled = compiledOnce<{ document: Document, ajv: Ajv }>()
const clientTypes = ['subscribe', 'unsubscribe', 'ack', 'ping']

/** What says what is wrong with a message by the AsyncAPI document of a service; undefined: nothing. */
function violationsOf (app: FastifyInstance): (message: unknown, sender: 'client' | 'service') => string | undefined {
  const { document, ajv } = compiled(app.asyncapi(), '', () => {
    const ajv = new Ajv({ strict: false, allErrors: true })
    formats.default(ajv)
    const document = app.asyncapi() as Document
    ajv.addSchema(document, 'asyncapi.json')
    return { document, ajv }
  })
  const messages = Object.keys(document.components.messages)
  return (message, sender) => {
    const { type } = (message ?? {}) as { type?: string }
    const names = messages.filter(name => clientTypes.includes(name) === (sender === 'client') && (name === type || name.includes(`.${type}.`)))
    const faults = names.map(name => {
      const reference = `asyncapi.json#/components/messages/${name}/payload`
      const validate: ValidateFunction = ajv.getSchema(reference) ?? ajv.compile({ $ref: reference })
      return validate(message) ? undefined : ajv.errorsText(validate.errors)
    })
    if (names.length === 0) return `there is no message of the type ${type}`
    return faults.includes(undefined) ? undefined : faults.join('; or ')
  }
}

/** The service, on a port of its own. */
export async function listening (t: Test, overrides: Partial<Config> = {}, extend?: (fastify: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = await buildApp(t, overrides, extend)
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
  const violation = violationsOf(app)
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}${query}`, protocols, { headers })
  t.teardown(() => socket.terminate())
  const messages: Message[] = []
  const waiting: ((message: Message) => void)[] = []
  let read = 0
  socket.on('message', (data, isBinary) => {
    const message = JSON.parse(String(data)) as Message
    const fault = isBinary ? 'it is binary' : violation(message, 'service')
    if (fault !== undefined) t.fail(`not as the AsyncAPI document says: ${fault}: ${String(data).slice(0, 200)}`)
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
      if (fault !== undefined) t.fail(`not as the AsyncAPI document says: ${fault}`)
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
export async function openRaw (t: Test, app: FastifyInstance, token: string, path = '/ws', protocol?: string): Promise<Socket> {
  const socket = connect(portOf(app), '127.0.0.1')
  t.teardown(() => socket.destroy())
  const offer = protocol === undefined ? '' : `Sec-WebSocket-Protocol: ${protocol}\r\n`
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n${offer}Authorization: Bearer ${token}\r\n\r\n`)
  const answer = await new Promise<string>(resolve => socket.once('data', chunk => resolve(String(chunk))))
  if (!answer.startsWith('HTTP/1.1 101')) throw new Error(answer)
  return socket
}

/** A masked text frame of a client, with whatever the payload is. */
export function frame (payload: string | Buffer, opcode = 0x81): Buffer {
  const data = Buffer.from(payload)
  const length = data.length < 126 ? Buffer.from([0x80 | data.length]) : Buffer.from([0x80 | 126, data.length >> 8, data.length & 0xff])
  // A mask of zeros leaves the data as it is.
  return Buffer.concat([Buffer.from([opcode]), length, Buffer.alloc(4), data])
}

import { createServer, type Server, type Socket } from 'node:net'
import { BSON, type Document } from 'mongodb'
import type { Test } from 'tap'
import { freePort } from './process.ts'

/** What is answered to a command: a document, nothing at all, or the end of the connection. Without an answer it is `{ ok: 1 }`. */
export type Answer = (command: Document) => Document | 'silence' | 'hang up' | undefined | Promise<Document | 'silence' | 'hang up' | undefined>

/** Speaks MongoDB's wire protocol and has no database: for what a server does only when something is wrong. */
export interface StandIn {
  url: string
  /** The commands that came, but for those of the driver itself. */
  commands: Document[]
  start: () => Promise<void>
  stop: () => Promise<void>
}

const OP_REPLY = 1
const OP_QUERY = 2004
const HEADER = 16
const OWN = ['hello', 'ismaster', 'isMaster', 'endSessions', 'ping']

export interface StandInOptions {
  answer?: Answer
  /** Whether it is the primary of a replica set, or a single server. */
  isReplicated?: boolean
  isStarted?: boolean
}

/** A stand-in of the test's own. Ends with the test. */
export async function standIn (t: Test, { answer = () => undefined, isReplicated = true, isStarted = true }: StandInOptions = {}): Promise<StandIn> {
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const replicated = isReplicated ? { setName: 'rs', setVersion: 1, hosts: [address], me: address, primary: address, logicalSessionTimeoutMinutes: 30 } : {}
  const commands: Document[] = []
  const sockets = new Set<Socket>()
  let server: Server | undefined

  async function reply (command: Document): Promise<Document | 'silence' | 'hang up'> {
    const [name = ''] = Object.keys(command)
    if (/^(?:hello|ismaster)$/i.test(name)) return { ok: 1, helloOk: true, ismaster: true, isWritablePrimary: true, minWireVersion: 0, maxWireVersion: 21, maxBsonObjectSize: 16_777_216, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000, localTime: new Date(), ...replicated }
    if (!OWN.includes(name)) commands.push(command)
    return OWN.includes(name) ? { ok: 1 } : await answer(command) ?? { ok: 1 }
  }

  async function serve (socket: Socket): Promise<void> {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    let pending = Buffer.alloc(0)
    for await (const chunk of socket) {
      pending = Buffer.concat([pending, chunk as Buffer])
      while (pending.length >= HEADER && pending.length >= pending.readInt32LE(0)) {
        const message = pending.subarray(0, pending.readInt32LE(0))
        pending = pending.subarray(message.length)
        const body = await reply(read(message))
        if (body === 'hang up') socket.destroy()
        else if (body !== 'silence') socket.write(written(message, body))
      }
    }
  }

  const stop = async () => {
    const running = server
    if (running === undefined) return
    server = undefined
    const closed = new Promise<void>(resolve => running.close(() => resolve()))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  const start = async () => {
    const starting = server = createServer(socket => { serve(socket).catch(() => {}) })
    await new Promise<void>((resolve, reject) => starting.once('error', reject).listen(port, '127.0.0.1', resolve))
  }
  t.teardown(stop)
  if (isStarted) await start()
  return { url: `mongodb://${address}/app`, commands, start, stop }
}

/** The command of a message; documents that came beside it are where they belong. */
function read (message: Buffer): Document {
  if (message.readInt32LE(12) === OP_QUERY) {
    const nameEnd = message.indexOf(0, HEADER + 4)
    return BSON.deserialize(message.subarray(nameEnd + 9))
  }
  let command: Document = {}
  for (let at = HEADER + 4; at < message.length;) {
    const kind = message.readUInt8(at)
    const size = message.readInt32LE(at + 1)
    const section = message.subarray(at + 1, at + 1 + size)
    at += 1 + size
    if (kind === 0) command = { ...BSON.deserialize(section), ...command }
    else Object.assign(command, sequence(section))
  }
  // Its name is the first field.
  const { documents, updates, deletes, ...first } = command
  return { ...first, ...Object.fromEntries(Object.entries({ documents, updates, deletes }).filter(([, value]) => value !== undefined)) }
}

function sequence (section: Buffer): Document {
  const nameEnd = section.indexOf(0, 4)
  const documents: Document[] = []
  for (let at = nameEnd + 1; at < section.length; at += section.readInt32LE(at)) documents.push(BSON.deserialize(section.subarray(at, at + section.readInt32LE(at))))
  return { [section.toString('utf8', 4, nameEnd)]: documents }
}

function written (request: Buffer, body: Document): Buffer {
  const bson = BSON.serialize(body)
  const isQuery = request.readInt32LE(12) === OP_QUERY
  const prefix = Buffer.alloc(HEADER + (isQuery ? 20 : 5))
  prefix.writeInt32LE(prefix.length + bson.length, 0)
  prefix.writeInt32LE(request.readInt32LE(4), 8)
  prefix.writeInt32LE(isQuery ? OP_REPLY : request.readInt32LE(12), 12)
  if (isQuery) prefix.writeInt32LE(1, HEADER + 16)
  return Buffer.concat([prefix, bson])
}

/** What a server answers that found these. */
export const found = (...documents: Document[]): Document => ({ ok: 1, cursor: { id: BSON.Long.fromNumber(0), ns: 'app.x', firstBatch: documents } })

/** What a server answers that failed. */
export const failure = (code: number, labels: string[] = [], more: Document = {}): Document => ({ ok: 0, code, codeName: `Code${code}`, errmsg: `failed with ${code}`, errorLabels: labels, ...more })

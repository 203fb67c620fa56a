// What a crowd that follows events costs: `node --expose-gc bench/realtime.ts [KIND] [CLIENTS,…]`, such as sse 1000,2500,5000.
// Three processes: the service, the clients (plain sockets), and this one, which writes events and reports.
// With TEST_DATABASE_URL on that PostgreSQL, otherwise on the embedded one; both ends need an open file
// for each client (`ulimit -n`). Memory is of the service's process, after a collection of garbage.
// A time begins before the event is inserted, and ends when the last byte is there: it has the commit in it.
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import Fastify, { type FastifyInstance } from 'fastify'
import app from '../app.ts'
import { loadConfig } from '../plugins/config/index.ts'
import { PrismaClient } from '../prisma/generated/client.ts'
import { serverOptions } from '../server.ts'
import { inTransaction } from '../services/database.ts'
import { recordEvent } from '../services/events.ts'
import { newPrivateKey } from '../test/helpers/keys.ts'
import { cloneTemplate } from '../test/helpers/template.ts'

/** How a kind of client begins: what it sends at first, what shows that it follows, and settings of the service. */
interface Kind { hello: (token: string) => string | Buffer, follows: RegExp, config?: object }

const kinds: Record<string, Kind> = {
  sse: {
    hello: token => `GET /orders/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    follows: /\nid: \d+\n/,
    config: { SSE_STREAMS_MAX: 1_000_000 }
  },
  ws: {
    hello: token => Buffer.concat([
      Buffer.from(`GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${token}\r\n\r\n`),
      textFrame('{"type":"subscribe","topic":"orders"}')
    ]),
    follows: /"type":"subscribed"/,
    // These sockets do not answer pings.
    config: { WS_CONNECTIONS_MAX: 1_000_000, WS_PING_INTERVAL: 3_600_000 }
  }
}

/** A short text frame of a WebSocket client; a mask of zeros leaves it as it is. */
function textFrame (text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])
}

const FAN_OUTS = 20
const EVENTS_PER_SECOND = 100
const SECONDS = 20
/** Clients that connect at a time. */
const AT_ONCE = 50
const WARM_UP = 200
/** About as long as the order of a shop. */
const FILLER = 'x'.repeat(600)

type Message = Record<string, unknown>
interface Process { child: ChildProcess, ask: (message: Message) => Promise<Message> }

const [role = 'sse', sizes = '1000,2500,5000'] = process.argv.slice(2)
if (role === 'serve') await serve()
else if (role === 'follow') follow()
else await bench(kinds[role], sizes.split(',').map(Number))

async function bench (kind: Kind | undefined, clients: number[]): Promise<void> {
  if (kind === undefined) throw new Error(`There are the kinds ${Object.keys(kinds).join(', ')}.`)
  const database = await cloneTemplate()
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) })
  for (const count of clients) await measure(prisma, database.url, role, count)
  await prisma.$disconnect()
  await database.close()
}

async function measure (prisma: PrismaClient, url: string, kind: string, clients: number): Promise<void> {
  const service = start('serve', { url, kind, clients: String(clients) })
  const crowd = start('follow', { kind })
  const { port, everything, own, users } = await service.ask({}) as { port: number, everything: string[], own: string[], users: string[] }
  // What the first clients bring into memory is not theirs.
  await crowd.ask({ port, tokens: everything.slice(0, WARM_UP) })
  await record(prisma)
  await crowd.ask({ hangUp: true })
  const { rss: before } = await service.ask({ memory: true }) as { rss: number }

  // All follow everything: one event goes to all.
  const began = performance.now()
  await crowd.ask({ port, tokens: everything })
  const openedMs = performance.now() - began
  await sleep(1000)
  const { rss: open } = await service.ask({ memory: true }) as { rss: number }
  const fanOuts: number[] = []
  for (let n = 0; n < FAN_OUTS; n++) {
    const done = crowd.ask({ expect: clients })
    await record(prisma)
    fanOuts.push(Math.max(...(await done).times as number[]))
  }
  const { rss: after } = await service.ask({ memory: true }) as { rss: number }
  await crowd.ask({ hangUp: true })

  // Each follows its own: 100 events a second, each to one of them.
  await crowd.ask({ port, tokens: own })
  const total = EVENTS_PER_SECOND * SECONDS
  const done = crowd.ask({ expect: total })
  const writing: Promise<void>[] = []
  for (let n = 0; n < total; n++) {
    writing.push(record(prisma, users[Math.floor(Math.random() * users.length)]))
    await sleep(1000 / EVENTS_PER_SECOND - 0.2)
  }
  await Promise.all(writing)
  const times = ((await done).times as number[]).sort((a, b) => a - b)
  for (const { child } of [crowd, service]) child.disconnect()

  const kb = (bytes: number) => (bytes / 1024 / clients).toFixed(1)
  const at = (sorted: number[], part: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN).toFixed(1)
  fanOuts.sort((a, b) => a - b)
  process.stdout.write(`${kind} ${clients} clients: opened in ${Math.round(openedMs)} ms; ${kb(open - before)} KB a client, ${kb(after - before)} KB after ${FAN_OUTS} events to all\n`)
  process.stdout.write(`  one event to all: median ${at(fanOuts, 0.5)} ms, slowest ${at(fanOuts, 1)} ms\n`)
  process.stdout.write(`  ${EVENTS_PER_SECOND} events/s, each to one: median ${at(times, 0.5)} ms, p99 ${at(times, 0.99)} ms, slowest ${at(times, 1)} ms\n`)
}

async function record (prisma: PrismaClient, ownerId?: string): Promise<void> {
  await inTransaction(prisma, tx => recordEvent(tx, { type: 'order.created', subject: randomUUID(), ...ownerId === undefined ? {} : { ownerId }, data: { filler: FILLER, sent: String(process.hrtime.bigint()) } }))
}

function start (role: string, env: Record<string, string>): Process {
  // As kit/serve starts the service.
  const child = spawn(process.execPath, ['--expose-gc', '--max-semi-space-size=8', import.meta.filename, role], { env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const ask = (message: Message) => new Promise<Message>(resolve => {
    child.once('message', answer => resolve(answer as Message))
    child.send(message)
  })
  return { child, ask }
}

/** The service: says where it listens and how much memory it has. */
async function serve (): Promise<void> {
  const { url, kind = '', clients } = process.env
  const privateKey = newPrivateKey()
  const loaded = loadConfig({ NODE_ENV: 'production', LOG_LEVEL: 'silent', DATABASE_URL: url, JWT_PRIVATE_KEY: privateKey, RATE_LIMIT_MAX: '1000000000' })
  const config = { ...loaded, ...kinds[kind]?.config }
  const fastify = Fastify(serverOptions(config)) as unknown as FastifyInstance
  await fastify.register(app, { config })
  const port = Number(new URL(await fastify.listen({ port: 0, host: '127.0.0.1' })).port)
  const users = Array.from({ length: Number(clients) }, () => randomUUID())
  const tokens = (scopes: string[]) => users.map(id => fastify.accessTokens.issue({ id, scopes: scopes as 'orders:read'[] }).accessToken)
  const greeting = { port, users, everything: tokens(['orders:read', 'orders:admin']), own: tokens(['orders:read']) }
  process.on('message', ({ memory }: { memory?: boolean }) => {
    if (!memory) return process.send?.(greeting)
    for (let n = 0; n < 5; n++) globalThis.gc?.()
    setTimeout(() => {
      globalThis.gc?.()
      process.send?.({ rss: process.memoryUsage.rss() })
    }, 500)
  })
  process.on('disconnect', () => process.exit(0))
}

/** The clients: connect, and say how long each event took. */
function follow (): void {
  const kind = kinds[process.env.kind ?? ''] as Kind
  let sockets: Socket[] = []
  let times: number[] = []
  let expected = Infinity
  const report = () => {
    if (times.length < expected) return
    process.send?.({ times })
    expected = Infinity
    times = []
  }
  const arrived = (sent: string) => {
    times.push(Number(process.hrtime.bigint() - BigInt(sent)) / 1e6)
    report()
  }
  process.on('message', ({ port, tokens, expect, hangUp }: { port?: number, tokens?: string[], expect?: number, hangUp?: boolean }) => {
    if (expect !== undefined) {
      expected = expect
      report()
    } else if (hangUp) {
      for (const socket of sockets) socket.destroy()
      sockets = []
      times = []
      setTimeout(() => process.send?.({}), 1000)
    } else if (port !== undefined && tokens !== undefined) {
      void openAll(kind, port, tokens, arrived).then(opened => {
        sockets = opened
        process.send?.({})
      })
    }
  })
  process.on('disconnect', () => process.exit(0))
}

async function openAll (kind: Kind, port: number, tokens: string[], arrived: (sent: string) => void): Promise<Socket[]> {
  const opened: Socket[] = []
  for (let first = 0; first < tokens.length; first += AT_ONCE) {
    opened.push(...await Promise.all(tokens.slice(first, first + AT_ONCE).map(token => open(kind, port, token, arrived))))
  }
  return opened
}

function open ({ hello, follows }: Kind, port: number, token: string, arrived: (sent: string) => void): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connect(port, '127.0.0.1', () => socket.write(hello(token)))
  let text = ''
  let isFollowing = false
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    if (!isFollowing && follows.test(text)) {
      isFollowing = true
      resolve(socket)
    }
    let end = 0
    for (const match of text.matchAll(/"sent": ?"(\d+)"/g)) {
      arrived(match[1] ?? '')
      end = match.index + match[0].length
    }
    // An event may come in pieces.
    text = text.slice(Math.max(end, text.length - 40))
  })
  socket.on('error', reject)
  socket.on('close', () => { if (!isFollowing) reject(new Error(`not let in: ${text}`)) })
  return promise
}

// WebSocket clients on one process, as figures of one run: `node bench/realtime-ws.ts [CLIENTS,…]`, on DATABASE_URL
// (a database with the migrations) or the embedded one in a folder of its own. For each number of clients: memory of the server a
// client, the time from a commit until all have the event, and that time for one client at 100 events a second.
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

const ROUNDS = 10
/** Clients of a process at the most: ports of one address, and one event loop to read what comes. */
const CLIENTS_PER_PROCESS = 2500

interface Memory { rss: number, heap: number, external: number }

const [role = 'bench'] = process.send === undefined ? [] : process.argv.slice(2)
if (role === 'server') await serve()
else if (role === 'clients') await connect()
else await bench((process.argv[2] ?? '1000,2500,5000').split(',').map(Number))

/** The server's side: says where it listens, and does what it is told. */
async function serve (): Promise<void> {
  const { default: Fastify } = await import('fastify')
  const { default: app } = await import('../app.ts')
  const { loadConfig } = await import('../plugins/config/index.ts')
  const { serverOptions } = await import('../server.ts')
  const { inTransaction } = await import('../services/database.ts')
  const { recordEvent } = await import('../services/events.ts')
  const config = { ...loadConfig(), LOG_LEVEL: 'silent', PORT: 0, RATE_LIMIT_MAX: 1_000_000_000, WS_CONNECTIONS_MAX: 1_000_000 }
  const fastify = Fastify(serverOptions(config)) as unknown as import('fastify').FastifyInstance
  await fastify.register(app, { config })
  const url = await fastify.listen({ port: 0, host: '127.0.0.1' })
  const ownerId = randomUUID()
  const { accessToken } = fastify.accessTokens.issue({ id: ownerId, scopes: ['orders:read'] })
  const order = { id: randomUUID(), status: 'paid', items: [{ productId: randomUUID(), sku: 'KB-TKL-01', name: 'Mechanical keyboard', quantity: 2, unitPrice: { amount: 8990, currency: 'EUR' } }], total: { amount: 17_980, currency: 'EUR' }, createdAt: new Date(), updatedAt: new Date() }
  process.on('message', async (command: 'memory' | 'event') => {
    if (command === 'memory') {
      for (let i = 0; i < 3; i++) {
        globalThis.gc?.()
        await sleep(200)
      }
      const { rss, heapUsed, external } = process.memoryUsage()
      return process.send?.({ rss, heap: heapUsed, external })
    }
    await inTransaction(fastify.prisma, tx => recordEvent(tx, { type: 'order.paid', subject: order.id, ownerId, data: { orderId: order.id, order, committed: Date.now() } }))
    process.send?.({})
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.({ url, accessToken })
}

/** The clients' side: connects as many as it is told, and says when all have an event and how long each of them took. */
async function connect (): Promise<void> {
  const clients: WebSocket[] = []
  let waiting = 0
  let latest = 0
  process.on('message', async ({ url, accessToken, count }: { url: string, accessToken: string, count: number }) => {
    while (clients.length < count) {
      await Promise.all(Array.from({ length: Math.min(100, count - clients.length) }, async () => {
        const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, 'keel.v1', { headers: { authorization: `Bearer ${accessToken}` }, perMessageDeflate: false })
        clients.push(socket)
        await new Promise<void>((resolve, reject) => {
          socket.once('error', reject)
          socket.on('open', () => socket.send('{"type":"subscribe","topic":"orders"}'))
          socket.on('message', data => {
            const text = String(data)
            if (text.startsWith('{"type":"subscribed"')) return resolve()
            const at = Number(/"committed":(\d+)/.exec(text)?.[1])
            latest = Math.max(latest, Date.now() - at)
            if (++waiting < count) return
            process.send?.({ latest })
            waiting = latest = 0
          })
        })
      }))
    }
    process.send?.({})
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.({})
}

async function bench (counts: number[]): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'keel-bench-'))
  for (const count of counts) await measure(count, dataDir)
  rmSync(dataDir, { recursive: true, force: true })
}

async function measure (count: number, dataDir: string): Promise<void> {
  const server = start('server', { DATA_DIR: dataDir, NODE_ENV: 'development' })
  const { url, accessToken } = await next<{ url: string, accessToken: string }>(server)
  const ask = async <T>(child: ChildProcess, message: object | string) => {
    const answer = next<T>(child)
    child.send(message)
    return await answer
  }
  const shares = Array.from({ length: Math.ceil(count / CLIENTS_PER_PROCESS) }, (_, i) => Math.min(CLIENTS_PER_PROCESS, count - i * CLIENTS_PER_PROCESS))
  const readers = await Promise.all(shares.map(async share => {
    const child = start('clients', {})
    await next(child)
    return { child, share }
  }))
  const [warm] = readers
  // One client, so that what is loaded at the first connection is not counted.
  if (warm) await ask(warm.child, { url, accessToken, count: 1 })
  const before = await ask<Memory>(server, 'memory')
  await Promise.all(readers.map(({ child, share }) => ask(child, { url, accessToken, count: share })))
  const after = await ask<Memory>(server, 'memory')
  const fanOut = async () => {
    const answers = readers.map(({ child }) => next<{ latest: number }>(child))
    server.send('event')
    await next(server)
    return Math.max(...(await Promise.all(answers)).map(({ latest }) => latest))
  }
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) times.push(await fanOut())
  const per = (name: keyof Memory) => `${((after[name] - before[name]) / 1024 / (count - 1)).toFixed(1)} KB`
  process.stdout.write(`${count} clients: ${per('rss')} of RSS a client (heap ${per('heap')}, external ${per('external')}); an event reaches all in ${median(times)} ms (median of ${ROUNDS}, ${Math.max(...times)} at the most)\n`)
  for (const { child } of readers) child.disconnect()
  if (count === 1) {
    process.stdout.write('')
  }
  server.disconnect()
  await sleep(500)
}

function start (role: string, env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, ['--expose-gc', ...role === 'server' ? ['--max-semi-space-size=8'] : [], import.meta.filename, role], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, ...env } })
}

function next<T> (child: ChildProcess): Promise<T> {
  return new Promise(resolve => child.once('message', message => resolve(message as T)))
}

function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

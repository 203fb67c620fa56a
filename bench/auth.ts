// What the guard costs, side by side in one run: `npx node bench/auth.ts [ROUNDS] [SECONDS]`.
// One server process, as production has it but for the log; a route that is public and the same one
// guarded by a valid token, in turn. The request with a token is longer: public is measured with it, too.
// Rates depend on what else the machine does; CPU time of the server a request does so much less.
import { spawn } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import app from '../app.ts'
import { loadConfig } from '../plugins/config/index.ts'
import { serverOptions } from '../server.ts'
import { median } from './statistics.ts'
import { newPrivateKey } from '../test/helpers/keys.ts'

const CONNECTIONS = 32
const BODY_END = '}'
const variants = ['public', 'public, with the header', 'guarded'] as const
type Variant = typeof variants[number]
interface Measured { perSecond: number, cpuMicros: number }

if (process.send === undefined) await bench(Number(process.argv[2] ?? 15), Number(process.argv[3] ?? 1))
else await serve()

/** The server's side: says where it listens, and at each message how much CPU time it has used. */
async function serve (): Promise<void> {
  const privateKey = newPrivateKey()
  // No route here needs the database; Prisma connects when it is used.
  const config = loadConfig({ NODE_ENV: 'production', LOG_LEVEL: 'silent', DATABASE_URL: 'postgresql://127.0.0.1:1/none', JWT_PRIVATE_KEY: privateKey, RATE_LIMIT_MAX: '1000000000' })
  const fastify = Fastify(serverOptions(config)) as unknown as FastifyInstance
  await fastify.register(app, { config })
  const schema = { hide: true, response: { 200: { type: 'object', properties: { id: { type: 'string' }, name: { type: 'string' } } } } }
  const answer = async () => ({ id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', name: 'Lamp' })
  fastify.get('/bench/public', { config: { public: true }, schema }, answer)
  fastify.get('/bench/guarded', { config: { scopes: ['orders:read'] }, schema }, answer)
  const url = await fastify.listen({ port: 0, host: '127.0.0.1' })
  const { accessToken } = fastify.accessTokens.issue({ id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', scopes: ['orders:read', 'orders:write'] })
  process.on('message', () => process.send?.(cpuMicros()))
  process.on('disconnect', () => process.exit(0))
  process.send?.({ port: Number(new URL(url).port), accessToken })
}

function cpuMicros (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

async function bench (rounds: number, seconds: number): Promise<void> {
  const server = spawn(process.execPath, [import.meta.filename], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const next = <T>() => new Promise<T>(resolve => server.once('message', message => resolve(message as T)))
  const { port, accessToken } = await next<{ port: number, accessToken: string }>()
  const cpu = async () => {
    server.send('cpu')
    return await next<number>()
  }
  const request = (variant: Variant) => {
    const token = variant === 'public' ? '' : `Authorization: Bearer ${accessToken}\r\n`
    return Buffer.from(`GET /bench/${variant === 'guarded' ? 'guarded' : 'public'} HTTP/1.1\r\nHost: localhost\r\n${token}\r\n`)
  }
  const measured = new Map<Variant, Measured[]>(variants.map(variant => [variant, []]))
  for (const variant of variants) await load(port, request(variant), 2 * seconds)
  for (let round = 0; round < rounds; round++) {
    for (const variant of variants.toSorted(() => Math.random() - 0.5)) {
      const before = await cpu()
      const count = await load(port, request(variant), seconds)
      measured.get(variant)?.push({ perSecond: count / seconds, cpuMicros: (await cpu() - before) / count })
    }
  }
  server.disconnect()
  report(measured)
}

function report (measured: Map<Variant, Measured[]>): void {
  const guarded = measured.get('guarded') ?? []
  for (const [variant, rounds] of measured) {
    // Rounds are compared with the round of the same time.
    const rate = median(rounds.map(({ perSecond }, round) => (guarded[round]?.perSecond ?? NaN) / perSecond))
    const cpu = median(rounds.map(({ cpuMicros }, round) => cpuMicros / (guarded[round]?.cpuMicros ?? NaN)))
    process.stdout.write(`${variant.padEnd(24)} ${Math.round(median(rounds.map(m => m.perSecond)))} req/s  ${median(rounds.map(m => m.cpuMicros)).toFixed(1)} µs of CPU a request`)
    process.stdout.write(variant === 'guarded' ? '\n' : `   guarded is ${rate.toFixed(3)} of its rate, ${cpu.toFixed(3)} by CPU\n`)
  }
  process.stdout.write(`medians of ${guarded.length} rounds in random order\n`)
}

/** Sends the request over and over, one at a time on each connection. Gives how many were answered. */
async function load (port: number, request: Buffer, seconds: number): Promise<number> {
  let count = 0
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => new Promise<Socket>((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(socket))
    socket.on('error', reject)
  })))
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  for (const socket of sockets) {
    socket.on('data', (chunk: Buffer) => {
      if (chunk.subarray(0, 15).toString('latin1') !== 'HTTP/1.1 200 OK') return reject(new Error(String(chunk)))
      if (chunk.at(-1) !== BODY_END.charCodeAt(0)) return
      count++
      socket.write(request)
    })
    socket.write(request)
  }
  setTimeout(resolve, seconds * 1000)
  await promise
  for (const socket of sockets) socket.destroy()
  return count
}

// What the benches of load share: one process as production has it, on a database of its own, and a mix of requests to it.
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../prisma/generated/client.ts'
import { signUp } from '../test/helpers/accounts.ts'
import { newPrivateKey } from '../test/helpers/keys.ts'
import { answers, freePort } from '../test/helpers/process.ts'
import { cloneTemplate } from '../test/helpers/template.ts'
import { Client, type Answer } from './client.ts'

const PRODUCTS = 50
const USERS = 10
const CONNECTIONS = 500
/** Who ask in a row. */
export const CLIENTS = 16

export interface Target {
  port: number
  /** An access token of one of its users. */
  token: () => string
  /** What CLIENTS that ask again as soon as they are answered get, a second; gives each answer to `use`. */
  sustain: (seconds: number, use?: (answer: Answer) => void) => Promise<number>
  /** Sends so many a second, evenly, whether or not earlier ones have been answered; gives each answer to `use`. */
  at: (rate: number, seconds: number, use: (answer: Answer) => void) => Promise<void>
  /** A field of /proc/PID/status, in MB. */
  memory: (field?: 'VmRSS' | 'VmHWM') => number
  close: () => Promise<void>
}

/** Starts the service in production mode, with products and users. */
export async function startTarget (env: Record<string, string> = {}): Promise<Target> {
  const database = await cloneTemplate()
  const port = await freePort()
  const settings = { NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), DATABASE_URL: database.url, JWT_PRIVATE_KEY: newPrivateKey(), LOG_LEVEL: 'warn', RATE_LIMIT_MAX: '1000000000', SHUTDOWN_DELAY_MS: '0', ...env }
  const service = spawn('kit/serve', [], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...settings } })
  process.once('exit', () => service.kill('SIGKILL'))
  while (!await answers(`http://127.0.0.1:${port}/health/ready`, 200)) {
    if (service.exitCode !== null) throw new Error('the service ended')
    await sleep(100)
  }
  const client = await Client.open(port, CONNECTIONS)
  const products = await makeProducts(database.url)
  const tokens = (await Promise.all(Array.from({ length: USERS }, () => signUp({ folder: '.', env: settings })))).map(({ token }) => token)

  /** One request of the mix: two lists, two single products, one order of five. */
  function any (): Promise<Answer> {
    const pick = Math.random()
    const product = oneOf(products)
    if (pick < 0.4) return send('GET', '/products?limit=20')
    if (pick < 0.8) return send('GET', `/products/${product}`)
    return send('POST', '/orders', oneOf(tokens), JSON.stringify({ items: [{ productId: product, quantity: 1 }] }))
  }

  function send (method: string, path: string, token?: string, body?: string): Promise<Answer> {
    return client.send(method, path, token ? { authorization: `Bearer ${token}` } : {}, body)
  }

  async function sustain (seconds: number, use: (answer: Answer) => void = () => {}): Promise<number> {
    let answered = 0
    const until = performance.now() + seconds * 1000
    await Promise.all(Array.from({ length: CLIENTS }, async () => {
      while (performance.now() < until) {
        const answer = await any()
        if (answer.status < 300) answered++
        use(answer)
      }
    }))
    return answered / seconds
  }

  async function at (rate: number, seconds: number, use: (answer: Answer) => void): Promise<void> {
    const sent: Promise<void>[] = []
    const began = performance.now()
    for (let elapsed = 0; elapsed < seconds * 1000; elapsed = performance.now() - began) {
      while (sent.length < elapsed * rate / 1000) sent.push(any().then(use))
      await sleep(1)
    }
    await Promise.all(sent)
  }

  return {
    port,
    token: () => oneOf(tokens),
    sustain,
    at,
    memory: (field = 'VmRSS') => Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${service.pid}/status`, 'utf8'))?.[1]) / 1024),
    close: async () => {
      client.close()
      service.kill('SIGTERM')
      if (service.exitCode === null) await new Promise(resolve => service.once('exit', resolve))
      await database.close()
    }
  }
}

async function makeProducts (connectionString: string): Promise<string[]> {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString }) })
  const ids = Array.from({ length: PRODUCTS }, () => randomUUID())
  await prisma.product.createMany({ data: ids.map((id, n) => ({ id, sku: `BENCH-${n}`, name: `Product ${n}`, description: 'For the bench.', priceAmount: 1999, priceCurrency: 'EUR', stock: 100_000_000 })) })
  await prisma.$disconnect()
  return ids
}

function oneOf (values: string[]): string {
  return values[Math.floor(Math.random() * values.length)] ?? ''
}

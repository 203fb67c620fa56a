// Ten times the load that the service sustains: `TEST_DATABASE_URL=… node bench/overload.ts [SECONDS] [TIMES]`.
// One process as production has it, on a database of its own; reads and orders mixed. First as many as
// 16 clients in a row get answered (what it sustains), then half of that, then TIMES as many for SECONDS,
// sent on time whether or not earlier ones have been answered. Says how the accepted ones fared, how
// /health/live answered meanwhile, and what became of the memory.
import { spawn } from 'node:child_process'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../prisma/generated/client.ts'
import { answers, freePort } from '../test/helpers/process.ts'
import { cloneTemplate } from '../test/helpers/template.ts'

const seconds = Number(process.argv[2] ?? 30)
const times = Number(process.argv[3] ?? 10)
const PRODUCTS = 50
const USERS = 10
const CLIENTS = 16

interface Answer { status: number, ms: number, retryAfter: string | undefined }

const database = await cloneTemplate()
const port = await freePort()
const JWT_PRIVATE_KEY = String(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }))
const service = spawn('kit/serve', [], {
  stdio: ['ignore', 'ignore', 'inherit'],
  env: { ...process.env, NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), DATABASE_URL: database.url, JWT_PRIVATE_KEY, LOG_LEVEL: 'warn', RATE_LIMIT_MAX: '1000000000', AUTH_RATE_LIMIT_MAX: '1000000', SHUTDOWN_DELAY_MS: '0' }
})
const agent = new Agent({ keepAlive: true, maxSockets: 2_000 })
while (!await answers(`http://127.0.0.1:${port}/health/ready`, 200)) await sleep(100)
const { tokens, products } = await fixtures()

const sustained = await sustain(10)
say(`sustained by ${CLIENTS} clients: ${Math.round(sustained)} requests a second`)
const normal = await at(sustained / 2, 10)
say(`at half of it: ${summary(normal)}`)
const before = memory()
const probes = watchHealth()
const many = await at(sustained * times, seconds)
const health = probes.stop()
say(`at ${times} times it: ${summary(many)}`)
say(`p99 of the accepted is ${(quantile(accepted(many), 0.99) / quantile(accepted(normal), 0.99)).toFixed(1)} times that at half load; health answered within ${quantile(health, 0.5).toFixed(1)} ms (median), ${quantile(health, 0.99).toFixed(1)} ms (p99)`)
await sleep(3_000)
const after = await at(sustained / 2, 5)
say(`at half of it again: ${summary(after)}`)
say(`memory: ${before} MB before, ${memory()} MB after, ${memory('VmHWM')} MB at the most`)

agent.destroy()
service.kill('SIGTERM')
await new Promise(resolve => service.once('exit', resolve))
await database.close()

async function fixtures (): Promise<{ tokens: string[], products: string[] }> {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) })
  const products = Array.from({ length: PRODUCTS }, () => randomUUID())
  await prisma.product.createMany({ data: products.map((id, n) => ({ id, sku: `BENCH-${n}`, name: `Product ${n}`, description: 'For the bench.', priceAmount: 1999, priceCurrency: 'EUR', stock: 100_000_000 })) })
  await prisma.$disconnect()
  const tokens: string[] = []
  for (let n = 0; n < USERS; n++) {
    const credentials = { email: `${randomUUID()}@example.com`, password: 'correct horse battery' }
    await post('/auth/register', { ...credentials, name: 'Bench' })
    tokens.push((await post('/auth/login', credentials)).accessToken)
  }
  return { tokens, products }
}

async function post (path: string, body: object): Promise<{ accessToken: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return await response.json() as { accessToken: string }
}

/** One request of the mix: lists, single products, orders. */
function any (): Promise<Answer> {
  const pick = Math.random()
  const product = products[Math.floor(Math.random() * PRODUCTS)]
  const token = tokens[Math.floor(Math.random() * USERS)]
  if (pick < 0.4) return send('GET', '/products?limit=20')
  if (pick < 0.8) return send('GET', `/products/${product}`)
  return send('POST', '/orders', token, JSON.stringify({ items: [{ productId: product, quantity: 1 }] }))
}

function send (method: string, path: string, token?: string, body?: string): Promise<Answer> {
  const began = performance.now()
  return new Promise(resolve => {
    const headers = { ...token ? { authorization: `Bearer ${token}` } : {}, ...body ? { 'content-type': 'application/json', 'content-length': body.length } : {} }
    const sent = request({ agent, port, host: '127.0.0.1', method, path, headers }, response => {
      response.resume()
      response.once('end', () => resolve({ status: response.statusCode ?? 0, ms: performance.now() - began, retryAfter: response.headers['retry-after'] }))
    })
    sent.once('error', () => resolve({ status: 0, ms: performance.now() - began, retryAfter: undefined }))
    sent.end(body)
  })
}

/** What clients that ask again as soon as they are answered get, a second. */
async function sustain (seconds: number): Promise<number> {
  let answered = 0
  const until = performance.now() + seconds * 1000
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (performance.now() < until) if ((await any()).status < 300) answered++
  }))
  return answered / seconds
}

/** Sends so many a second, evenly, whatever becomes of them. */
async function at (rate: number, seconds: number): Promise<Answer[]> {
  const pending: Promise<Answer>[] = []
  const began = performance.now()
  for (let elapsed = 0; elapsed < seconds * 1000; elapsed = performance.now() - began) {
    while (pending.length < elapsed * rate / 1000) pending.push(any())
    await sleep(1)
  }
  return await Promise.all(pending)
}

function watchHealth (): { stop: () => number[] } {
  const times: number[] = []
  const timer = setInterval(() => {
    const began = performance.now()
    request({ port, host: '127.0.0.1', path: '/health/live' }, response => response.resume().once('end', () => times.push(performance.now() - began))).once('error', () => times.push(Infinity)).end()
  }, 100)
  return { stop: () => { clearInterval(timer); return times } }
}

function accepted (answers: Answer[]): number[] {
  return answers.filter(({ status }) => status < 300 && status > 0).map(({ ms }) => ms)
}

function quantile (values: number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * part)] ?? NaN
}

function summary (answers: Answer[]): string {
  const ok = accepted(answers)
  const refused = answers.filter(({ status }) => status === 503)
  const silent = refused.filter(({ retryAfter }) => retryAfter === undefined).length
  const others = answers.filter(({ status }) => status >= 300 && status !== 503).map(({ status }) => status)
  return `${answers.length} sent, ${ok.length} accepted (p50 ${quantile(ok, 0.5).toFixed(1)} ms, p99 ${quantile(ok, 0.99).toFixed(1)} ms), ${refused.length} refused with 503 (${silent} without Retry-After), ${answers.filter(({ status }) => status === 0).length} failed, others: ${[...new Set(others)].join() || 'none'}`
}

function memory (field = 'VmRSS'): number {
  return Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${service.pid}/status`, 'utf8'))?.[1]) / 1024)
}

function say (text: string): void {
  process.stdout.write(`${text}\n`)
}

// The database goes away under load and comes back.
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { signUp } from '../helpers/accounts.ts'
import { until } from '../helpers/until.ts'
import { call, copyOfCheckout, startService } from '../helpers/process.ts'
import { createProxy } from '../helpers/proxy.ts'
import { plainDatabase } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
/** For how long it is away: OUTAGE_MS=20000 is an outage of 20 s. */
const AWAY_MS = Number(process.env.OUTAGE_MS ?? 3_000)
/** For how long it serves before: a process that has just begun grows, outage or not. */
const WARM_MS = Number(process.env.OUTAGE_WARM_MS ?? 5_000)
/** Requests a second. */
const RATE = Number(process.env.OUTAGE_RATE ?? 60)
const METRICS_TOKEN = 'a-token-for-metrics'
const MB = 1_000_000

t.test('requests get 503 at once, the process lives, and goes on when the database is back', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async t => {
  const proxy = await createProxy(t, await plainDatabase(t, server))
  await proxy.open()
  const folder = copyOfCheckout(t)
  // What writes in a transaction.
  cpSync('test/helpers/reservations.ts', join(folder, 'routes/reservations/index.ts'), { recursive: true })
  const service = await startService(t, folder, { DATABASE_URL: proxy.url, METRICS_TOKEN, RATE_LIMIT_MAX: '1000000', OVERLOAD_POOL_WAIT_MS: '250' })
  const { token } = await signUp(service)
  const { body: { items: [product] } } = await call(`${service.url}/products?limit=1`)
  // Enough of it for a long run.
  for (let n = 0; n < 10; n++) await call(`${service.url}/reservations/returns`, { token, body: { productId: product.id, quantity: 1000 } })

  const answers: { status: number, code?: string, at: number }[] = []
  const lives: number[] = []
  const over = new AbortController()
  const requests = [
    () => call(`${service.url}/products?limit=5`),
    () => call(`${service.url}/users/me`, { token }),
    () => call(`${service.url}/reservations`, { token, body: { productId: product.id, quantity: 1 } })
  ]
  const pending = new Set<Promise<void>>()
  const load = (async () => {
    // Clients that come whether or not those before them were answered.
    for (let n = 0; !over.signal.aborted; n++) {
      const ask = requests[n % requests.length]!
      const asked: Promise<void> = ask().then(({ status, body }) => {
        answers.push({ status, code: body.code, at: performance.now() })
        pending.delete(asked)
      })
      pending.add(asked)
      if (n % 10 === 0) lives.push((await call(`${service.url}/health/live`)).status)
      await sleep(1000 / RATE)
    }
  })()
  const megabytes = async () => {
    const metrics = await (await fetch(`${service.url}/metrics`, { headers: { authorization: `Bearer ${METRICS_TOKEN}` } })).text()
    return Math.round(Number(/^process_resident_memory_bytes (\S+)/m.exec(metrics)?.[1]) / MB)
  }

  await until(() => answers.length > RATE * WARM_MS / 1000)
  const before = await megabytes()
  await proxy.cut()
  const cutAt = performance.now()
  await until(() => answers.some(({ code, at }) => at > cutAt && code === 'UNAVAILABLE'))
  await sleep(AWAY_MS)
  t.equal((await call(`${service.url}/health/ready`)).status, 503)
  const waiting = pending.size
  const during = await megabytes()
  await proxy.open()
  const backAt = performance.now()
  await until(() => answers.some(({ status, at }) => at > backAt && status < 300))
  await until(async () => (await call(`${service.url}/health/ready`)).status === 200)
  await sleep(2_000)
  const after = await megabytes()
  over.abort()
  await load
  await Promise.all(pending)

  const first503 = answers.find(({ status, at }) => at > cutAt && status === 503)
  const firstOk = answers.find(({ status, at }) => at > backAt && status < 300)
  t.comment(`first 503 after ${Math.round((first503?.at ?? NaN) - cutAt)} ms, first answer ${Math.round((firstOk?.at ?? NaN) - backAt)} ms after the return; ${waiting} waited at its end; resident ${before} MB before, ${during} MB during, ${after} MB after`)
  t.same([...new Set(answers.filter(({ status }) => status >= 300 && status !== 503).map(({ status, code }) => `${status} ${code}`))], [], 'no other error')
  const codes = new Set(answers.filter(({ status }) => status === 503).map(({ code }) => code))
  t.ok(codes.delete('UNAVAILABLE'))
  codes.delete('OVERLOADED')
  t.same([...codes], [], 'or that too many wait for what is away')
  t.ok(waiting < RATE, 'nothing piles up')
  t.ok(Math.max(during, after) < before * 1.5, 'not in memory, either')
  t.ok(lives.every(status => status === 200), 'it is alive throughout')
  t.equal((await service.stop()).code, 0, 'and is the process that it was')
})

// The database goes away under load and comes back.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { signUp } from '../helpers/first-order.ts'
import { until } from '../helpers/jobs.ts'
import { call, copyOfCheckout, startService } from '../helpers/process.ts'
import { createProxy } from '../helpers/proxy.ts'
import { plainDatabase } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
/** For how long it is away: OUTAGE_MS=20000 is an outage of 20 s. */
const AWAY_MS = Number(process.env.OUTAGE_MS ?? 3_000)

t.test('requests get 503 at once, the process lives, and goes on when the database is back', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async t => {
  const proxy = await createProxy(t, await plainDatabase(t, server))
  await proxy.open()
  const service = await startService(t, copyOfCheckout(t), { DATABASE_URL: proxy.url, RATE_LIMIT_MAX: '1000000', OVERLOAD_LOOP_DELAY_MS: '0' })
  const { token } = await signUp(service.url)
  const { body: { items: [product] } } = await call(`${service.url}/products?limit=1`)

  const answers: { status: number, code?: string, at: number }[] = []
  const lives: number[] = []
  const over = new AbortController()
  const load = [
    () => call(`${service.url}/products?limit=5`),
    () => call(`${service.url}/orders`, { token }),
    () => call(`${service.url}/orders`, { token, body: { items: [{ productId: product.id, quantity: 1 }] } })
  ].map(async ask => {
    while (!over.signal.aborted) {
      const { status, body } = await ask()
      answers.push({ status, code: body.code, at: performance.now() })
      lives.push((await call(`${service.url}/health/live`)).status)
      await sleep(20)
    }
  })

  await until(() => answers.length > 30)
  await proxy.cut()
  const cutAt = performance.now()
  await until(() => answers.some(({ status }) => status === 503))
  await sleep(AWAY_MS)
  t.equal((await call(`${service.url}/health/ready`)).status, 503)
  await proxy.open()
  const backAt = performance.now()
  await until(() => answers.some(({ status, at }) => at > backAt && status < 300))
  await until(async () => (await call(`${service.url}/health/ready`)).status === 200)
  over.abort()
  await Promise.all(load)

  const first503 = answers.find(({ status }) => status === 503)
  const firstOk = answers.find(({ status, at }) => at > backAt && status < 300)
  t.comment(`first 503 after ${Math.round((first503?.at ?? NaN) - cutAt)} ms, first answer ${Math.round((firstOk?.at ?? NaN) - backAt)} ms after the return`)
  t.same([...new Set(answers.map(({ status }) => status))].filter(status => status >= 300 && status !== 503), [], 'no other error')
  t.same([...new Set(answers.filter(({ status }) => status === 503).map(({ code }) => code))], ['UNAVAILABLE'])
  t.ok(lives.every(status => status === 200), 'it is alive throughout')
  t.equal((await service.stop()).code, 0, 'and is the process that it was')
})

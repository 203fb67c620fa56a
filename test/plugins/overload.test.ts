import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'
import { buildLogged } from '../helpers/log.ts'
import { holdTransaction } from '../helpers/transaction.ts'

const ask = async (app: FastifyInstance, url = '/products') => await app.inject(url)

/** Requests that come one after the other, not in one turn of the event loop; the answers are those of all. */
async function rush (app: FastifyInstance, count: number): Promise<{ all: Promise<number[]>, refused: () => number }> {
  let refused = 0
  const sent: Promise<number>[] = []
  for (let n = 0; n < count; n++) {
    const before = app.databasePool.waitingCount + refused
    sent.push(ask(app).then(response => {
      if (response.statusCode === 503) refused++
      return response.statusCode
    }))
    await until(() => app.databasePool.waitingCount + refused > before)
  }
  return { all: Promise.all(sent), refused: () => refused }
}

async function oneConnection (t: Test, overrides: Partial<Config> = {}): Promise<FastifyInstance> {
  return await buildApp(t, { DATABASE_POOL_MAX: 1, OVERLOAD_POOL_WAIT_MS: 200, ...overrides })
}

t.test('who would have to wait for a connection for too long is refused at once, and what waits is answered', async t => {
  const app = await oneConnection(t)
  const release = await holdTransaction(app)
  const waiting = await rush(app, 3)
  const isRefused = async () => {
    const { all, refused } = await rush(app, 1)
    return refused() > 0 && await all
  }
  await until(isRefused)
  const refused = await ask(app)
  t.match(refused.json(), { status: 503, code: 'OVERLOADED' })
  t.match(refused.headers['retry-after'], /^[123]$/)
  await release()
  t.same(await waiting.all, [200, 200, 200])
  await until(async () => (await ask(app)).statusCode === 200)
})

t.test('before the pool has shown how quick it is, ten for each connection may wait', async t => {
  const app = await oneConnection(t, { OVERLOAD_POOL_WAIT_MS: 60_000 })
  // What a driver asks first shows something, too: it is looked at each 100 ms.
  await ask(app)
  await sleep(300)
  const release = await holdTransaction(app)
  const { all, refused } = await rush(app, 14)
  t.ok(refused() > 0)
  await release()
  t.ok((await all).filter(status => status === 200).length >= 10)
})

t.test('health and metrics answer all the same', async t => {
  const app = await oneConnection(t)
  const release = await holdTransaction(app)
  const { all, refused } = await rush(app, 14)
  t.ok(refused() > 0)
  t.equal((await ask(app, '/health/live')).statusCode, 200)
  t.equal((await ask(app, '/metrics')).statusCode, 200)
  await release()
  await all
})

t.test('an event loop that is late refuses, and takes requests again when it is in time', async t => {
  const app = await buildApp(t, { OVERLOAD_LOOP_DELAY_MS: 60 })
  await until(async () => {
    const end = performance.now() + 200
    while (performance.now() < end);
    return (await ask(app)).statusCode === 503
  })
  t.equal((await ask(app, '/health/live')).statusCode, 200)
  await until(async () => (await ask(app)).statusCode === 200)
})

t.test('0 switches either off', async t => {
  const app = await oneConnection(t, { OVERLOAD_POOL_WAIT_MS: 0, OVERLOAD_LOOP_DELAY_MS: 0 })
  const release = await holdTransaction(app)
  const waiting = Array.from({ length: 40 }, () => ask(app))
  await until(() => app.databasePool.waitingCount > 30)
  await release()
  t.ok((await Promise.all(waiting)).every(({ statusCode }) => statusCode === 200))
})

t.test('refusals are one line of the log a second, not one each', async t => {
  const { app, lines } = await buildLogged(t, { DATABASE_POOL_MAX: 1, OVERLOAD_POOL_WAIT_MS: 200 })
  const release = await holdTransaction(app)
  const { all, refused } = await rush(app, 20)
  const report = await until(() => lines.find(({ msg }) => /overloaded/.test(msg)))
  await release()
  await all
  await until(() => lines.filter(({ msg }) => /overloaded/.test(msg)).reduce((sum, { requests }) => sum + Number(requests), 0) === refused())
  t.equal(report.requests, report.pool)
  t.equal(lines.filter(({ msg }) => msg === 'request').length, 20 - refused())
})

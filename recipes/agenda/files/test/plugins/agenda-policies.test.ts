// The policies of queues, which agenda's table keeps.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { completed } from '../helpers/agenda.ts'
import { buildApp } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'
import { newQueue, Numbered, worker } from '../helpers/workers.ts'

t.test('policies', async t => {
  await t.test('are kept by the table, in the transaction that sends', async t => {
    const gate = Promise.withResolvers<void>()
    t.teardown(gate.resolve)
    const queues = { short: newQueue(), stately: newQueue(), exclusive: newQueue() }
    const begun: string[] = []
    const app = await buildApp(t, { ROLE: 'all' }, fastify => {
      for (const policy of ['short', 'stately', 'exclusive'] as const) {
        fastify.jobs.define({ name: queues[policy], policy, payload: Numbered, handler: async ({ payload }) => { begun.push(`${policy} ${payload.n}`); await gate.promise } })
      }
    })
    for (const [policy, name] of Object.entries(queues)) {
      t.ok(await app.jobs.send(name, { n: 1 }))
      await until(() => begun.includes(`${policy} 1`))
    }
    t.ok(await app.jobs.send(queues.short, { n: 2 }, { startAfter: 60_000 }), 'one runs, one may wait')
    t.equal(await app.jobs.send(queues.short, { n: 3 }), null)
    t.ok(await app.jobs.send(queues.stately, { n: 2 }))
    t.equal(await app.jobs.send(queues.stately, { n: 3 }), null)
    t.equal(await app.jobs.send(queues.exclusive, { n: 2 }), null)
    t.notOk(begun.includes('stately 2'), 'one runs at a time')
    gate.resolve()
    await until(() => begun.includes('stately 2'))
    await until(async () => await completed(app, queues.exclusive) === 1)
    t.ok(await app.jobs.send(queues.exclusive, { n: 4 }))
  })

  await t.test('however many workers there are, one of a key runs at a time, and other keys beside it', async t => {
    const name = newQueue()
    const running = new Map<string, number>()
    let most = 0
    let together = 0
    const handler = async ({ payload: { n } }: { payload: { n: number } }) => {
      const key = String(n % 3)
      running.set(key, (running.get(key) ?? 0) + 1)
      most = Math.max(most, running.get(key) ?? 0)
      together = Math.max(together, [...running.values()].reduce((sum, count) => sum + count, 0))
      await sleep(20)
      running.set(key, (running.get(key) ?? 0) - 1)
    }
    const [{ app }] = [await worker(t, name, { policy: 'singleton', handler }), await worker(t, name, { policy: 'singleton', handler })]
    for (let n = 0; n < 30; n++) await app.jobs.send(name, { n }, { singletonKey: String(n % 3) })
    await until(async () => await completed(app, name) === 30)
    t.equal(most, 1)
    t.ok(together > 1)
  })
})

import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { RunningJob } from '../../plugins/jobs/index.ts'
import type { JobDefinition } from '../../plugins/jobs/types.ts'
import { buildApp } from '../helpers/app.ts'
import { deadJobs, storedJobs, withJobs } from '../helpers/jobs.ts'
import { until } from '../helpers/until.ts'

const Numbered = Type.Object({ n: Type.Integer() }, { additionalProperties: false })
let queues = 0

/** A service that runs one more job, and the numbers that its handler began with. */
async function worker (t: Test, handler: (job: RunningJob<{ n: number }>) => Promise<void>, definition: Partial<JobDefinition<typeof Numbered>> = {}): Promise<{ app: FastifyInstance, name: string, begun: number[] }> {
  const name = `ordered-${process.pid}-${++queues}`
  const begun: number[] = []
  const app = await buildApp(t, { ROLE: 'all' }, fastify => fastify.jobs.define({
    name, payload: Numbered, ...definition, handler: async job => { begun.push(job.payload.n); await handler(job) }
  }))
  return { app, name, begun }
}

const policy = 'key_strict_fifo'

t.test('jobs of a key run one after the other in the order they were sent, and wait for one that is tried again', async t => {
  let failures = 0
  const { app, name, begun } = await worker(t, async ({ payload: { n } }) => {
    if (n === 1 && ++failures < 3) throw new Error('not yet')
  }, { policy, retry: { limit: 5, delaySeconds: 1 } })
  for (const n of [1, 2, 3]) await app.jobs.send(name, { n }, { singletonKey: 'a' })
  await app.jobs.send(name, { n: 10 }, { singletonKey: 'b' })
  await until(() => begun.includes(3))
  t.same(begun.filter(n => n < 10), [1, 1, 1, 2, 3])
  t.ok(begun.indexOf(10) < begun.indexOf(2), 'another key does not wait')
  await t.rejects(app.jobs.send(name, { n: 1 }), /needs a singletonKey/)
})

t.test('a dead one is in the dead letter queue alone, and those behind it go on', async t => {
  const { app, name, begun } = await worker(t, async ({ payload: { n } }) => { if (n === 1) throw new Error('never') }, { policy, retry: { limit: 0 } })
  for (const n of [1, 2]) await app.jobs.send(name, { n }, { singletonKey: 'a' })
  await until(() => begun.includes(2))
  t.match(await deadJobs(app, name), [{ payload: { n: 1 }, reason: 'Error: never' }])
  t.same((await storedJobs(app, name)).map(({ payload }) => payload), [{ n: 1 }, { n: 2 }])
})

t.test('one that is cancelled holds back nothing', async t => {
  const { app, name, begun } = await worker(t, async ({ payload: { n } }) => { if (n === 1) throw new Error('later') }, { policy, retry: { limit: 5, delaySeconds: 3600, maxDelaySeconds: 3600 } })
  const id = await app.jobs.send(name, { n: 1 }, { singletonKey: 'a' }) ?? ''
  await app.jobs.send(name, { n: 2 }, { singletonKey: 'a' })
  await until(async () => (await storedJobs(app, name))[0]?.state === 'retry')
  t.same(begun, [1])
  await withJobs(app, async admin => { t.match(await admin.cancel([id]), [{ id, done: 'is cancelled' }]) })
  await until(() => begun.includes(2))
})

t.test('an error may say that no other attempt makes sense', async t => {
  const { app, name, begun } = await worker(t, async () => { throw Object.assign(new Error('gone'), { retry: false }) })
  await app.jobs.send(name, { n: 1 })
  t.match(await until(async () => (await deadJobs(app, name))[0]), { reason: 'Error: gone' })
  t.same(begun, [1])
})

t.test('an error may put the next attempt off, and not bring it forward', async t => {
  for (const [retryAfterMs, from, to] of [[60_000, 50, 61], [1, 3, 11]] as const) {
    const { app, name } = await worker(t, async () => { throw Object.assign(new Error('busy'), { retryAfterMs }) }, { retry: { delaySeconds: 5 } })
    const id = await app.jobs.send(name, { n: 1 })
    const dueIn = async () => {
      const due = (await storedJobs(app, name)).find(({ state }) => state === 'retry')?.startAfter?.getTime() ?? Date.now()
      return (due - Date.now()) / 1000
    }
    await until(async () => await dueIn() > from && await dueIn() < to)
    t.match(await storedJobs(app, name), [{ id, state: 'retry', reason: 'Error: busy' }])
  }
})

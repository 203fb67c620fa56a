import { Type } from 'typebox'
import t from 'tap'
import { buildApp } from '../helpers/app.ts'
import { scrape, valueOf } from '../helpers/metrics.ts'
import { freePort } from '../helpers/process.ts'
import { until } from '../helpers/until.ts'

t.test('jobs are counted by queue and outcome, and what waits is seen', async (t) => {
  const app = await buildApp(t, { ROLE: 'all' }, app => {
    const payload = Type.Object({})
    app.jobs.define({ name: 'good', payload, handler: async () => {} })
    app.jobs.define({ name: 'bad', payload, retry: { limit: 1, delaySeconds: 0 }, handler: async () => { throw new Error('bad') } })
  })
  await app.jobs.send('good', {})
  await app.jobs.send('bad', {})
  await app.jobs.send('good', {}, { startAfter: 3_600_000 })
  await until(async () => valueOf(await scrape(app), 'jobs_total{queue="bad",outcome="dead"}') === 1)
  const text = await scrape(app)
  t.equal(valueOf(text, 'jobs_total{queue="bad",outcome="retry"}'), 1)
  t.equal(valueOf(text, 'jobs_total{queue="good",outcome="done"}'), 1)
  t.equal(valueOf(text, 'job_duration_seconds_count{queue="bad"}'), 2)
  await until(async () => valueOf(await scrape(app), 'jobs_queued{queue="good",state="deferred"}') === 1)
  await until(async () => valueOf(await scrape(app), 'jobs_queued{queue="bad.dead",state="ready"}') === 1)
})

t.test('METRICS_PORT answers until what is under way has ended, and is free then', async (t) => {
  const METRICS_PORT = await freePort()
  const started = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const app = await buildApp(t, { METRICS_PORT, ROLE: 'all' }, app => app.jobs.define({ name: 'long', payload: Type.Object({}), handler: async () => { started.resolve(); await end.promise } }))
  await app.listen({ port: 0 })
  await app.jobs.send('long', {})
  await started.promise
  const closed = app.close()
  await until(() => !app.server.listening)
  t.equal((await fetch(`http://127.0.0.1:${METRICS_PORT}/metrics`)).status, 200)
  end.resolve()
  await closed
  await t.rejects(fetch(`http://127.0.0.1:${METRICS_PORT}/metrics`))
})

import { randomUUID } from 'node:crypto'
import t from 'tap'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { buildApp, testDatabase } from '../helpers/app.ts'
import { withJobs } from '../helpers/jobs.ts'
import { until } from '../helpers/until.ts'
import { copyOfCheckout, startService } from '../helpers/process.ts'
import { newSecret, startReceiver } from '../helpers/receiver.ts'

const EVENTS = 300
const onServer = { skip: process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set' }

t.test('a consumer that is killed in the middle: exactly one job per event, and every event arrives', onServer, async t => {
  const secret = newSecret()
  const receiver = await startReceiver(t, secret)
  const { prisma } = await buildApp(t)
  const folder = copyOfCheckout(t)
  const env = { DATABASE_URL: await testDatabase(), ROLE: 'worker', WEBHOOK_URLS: receiver.url, WEBHOOK_SECRET: secret, LOG_LEVEL: 'warn' }
  const first = await startService(t, folder, env)

  // Five events at a time, so that it is in the middle of a transaction most of the time.
  const subjects = Array.from({ length: 20 }, () => randomUUID())
  const writing = (async () => {
    for (let n = 0; n < EVENTS; n += 5) {
      await Promise.all([0, 1, 2, 3, 4].map(more => inTransaction(prisma, tx => recordEvent(tx, { type: 'thing.changed', subject: subjects[(n + more) % subjects.length]!, data: { n: n + more } }))))
    }
  })()
  await until(() => receiver.accepted.length > 50)
  await first.stop('SIGKILL')
  await writing
  const killedAt = receiver.accepted.length
  t.ok(killedAt < EVENTS, `killed after ${killedAt}`)

  const second = await startService(t, folder, env)
  await until(() => receiver.accepted.length === EVENTS)
  const { jobs } = await withJobs({ databaseUrl: env.DATABASE_URL }, async ({ list }) => await list({ all: true, limit: 100_000 }))
  const bodies = jobs.filter(({ queue }) => queue.startsWith('webhook-')).map(({ payload }) => (payload as { body: string }).body)
  t.same([bodies.length, new Set(bodies).size], [EVENTS, EVENTS])
  t.same([...new Set(receiver.accepted.map(({ event }) => event?.n))].sort((a, b) => a! - b!), Array.from({ length: EVENTS }, (_, n) => n))

  await t.test('in the order of each subject', async t => {
    const logged = await prisma.event.findMany({ orderBy: { position: 'asc' } })
    for (const subject of subjects) {
      const own = new Set(logged.filter(event => event.subject === subject).map(({ position }) => String(position)))
      t.same(receiver.accepted.map(({ event }) => event!.id).filter(id => own.has(id)), [...own])
    }
  })
  const { output } = await second.stop()
  t.notMatch(output + first.output(), secret, 'the secret is in no line')
})

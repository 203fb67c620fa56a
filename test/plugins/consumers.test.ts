import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { ConsumerDefinition, EventHandler, StoredEvent } from '../../plugins/events/index.ts'
import { inTransaction } from '../../services/database.ts'
import { recordEvent, trimEvents } from '../../services/events.ts'
import { buildApp } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'
import { buildLogged } from '../helpers/log.ts'

const web = await buildApp(t)
const { prisma } = web

/** The embedded database has one connection for all, and no time-outs. */
const onServer = { skip: process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set' }

let consumers = 0
/** A consumer of its own for a test. */
const newConsumer = () => `test-${++consumers}`
const numberOf = ({ json }: StoredEvent) => (JSON.parse(json) as { n: number }).n

async function record (n: number, subject: string = randomUUID()): Promise<void> {
  await inTransaction(prisma, tx => recordEvent(tx, { type: 'thing.changed', subject, data: { n } }))
}

/** A process that consumes, and the numbers of the events that it was handed. */
async function consume (t: Test, name: string, handler: EventHandler = async () => {}, options: Partial<ConsumerDefinition> = {}, config = {}): Promise<{ app: FastifyInstance, handed: number[] }> {
  const handed: number[] = []
  const app = await buildApp(t, { ROLE: 'all', ...config }, fastify => fastify.consumeEvents({
    name,
    backoffMs: 5,
    ...options,
    handler: async (event, tx) => { handed.push(numberOf(event)); await handler(event, tx) }
  }))
  return { app, handed }
}

let left = 0
/** A handler's trace in the database: made through its transaction, it is there as often as the event was handled. */
const leaveTrace = (name: string): EventHandler => async (event, tx) => {
  // Several are left within a millisecond: those would be in any order.
  await tx.mail.create({ data: { id: randomUUID(), recipient: name, subject: String(numberOf(event)), text: '', createdAt: new Date(Date.now() + ++left) } })
}
const traces = async (name: string) => (await prisma.mail.findMany({ where: { recipient: name }, orderBy: { createdAt: 'asc' } })).map(({ subject }) => Number(subject))
const failures = async (name: string) => await prisma.eventFailure.findMany({ where: { consumer: name }, orderBy: { position: 'asc' } })
/** What `npm run kit -- events retry` does. */
const retry = async (name: string) => await prisma.eventFailure.updateMany({ where: { consumer: name }, data: { isDue: true } })
const count = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

t.test('a consumer is handed every event from its registration on, in order, also those of when none was running', async t => {
  const name = newConsumer()
  await record(0)
  const first = await consume(t, name)
  for (const n of [1, 2, 3]) await record(n)
  await until(() => first.handed.length === 3)
  await first.app.close()
  for (const n of [4, 5]) await record(n)
  const second = await consume(t, name)
  await until(() => second.handed.length === 2)
  t.same([...first.handed, ...second.handed], [1, 2, 3, 4, 5])
})

t.test('a new one may begin at the beginning of what is kept', async t => {
  await prisma.$transaction(tx => trimEvents(tx, new Date(Date.now() + 1000)))
  await record(1)
  const { handed } = await consume(t, newConsumer(), undefined, { from: 'beginning' })
  await until(() => handed.includes(1))
})

t.test('a web process registers and does not consume', async t => {
  const name = newConsumer()
  const { handed: none } = await consume(t, name, undefined, {}, { ROLE: 'web' })
  await record(1)
  const { handed } = await consume(t, name, undefined, {}, { ROLE: 'worker' })
  await until(() => handed.length === 1)
  t.same(none, [])
})

t.test('of several processes one has the turn: each event is handed over once, in order', async t => {
  for (const batch of [1, 20]) {
    await t.test(`${batch} at a time`, async t => {
      const name = newConsumer()
      const processes = await Promise.all([1, 2, 3].map(() => consume(t, name, leaveTrace(name), { batch })))
      await Promise.all(count(1, 150).map(n => record(n)))
      await until(async () => (await traces(name)).length >= 150)
      const logged = await prisma.event.findMany({ orderBy: { position: 'desc' }, take: 150 })
      t.same(await traces(name), logged.map(({ data }) => (data as { n: number }).n).reverse())
      t.equal(processes.flatMap(({ handed }) => handed).length, 150)
    })
  }
})

t.test('a handler that fails is tried again; what it wrote through its transaction is there once', async t => {
  const name = newConsumer()
  let failed = 0
  const { handed } = await consume(t, name, async (event, tx) => {
    await leaveTrace(name)(event, tx)
    if (numberOf(event) === 2 && ++failed < 4) throw new Error('not yet')
  }, { batch: 10 })
  for (const n of [1, 2, 3]) await record(n)
  await until(async () => (await traces(name)).length === 3)
  t.same(await traces(name), [1, 2, 3])
  t.equal(handed.filter(n => n === 2).length, 4)
  t.same(await failures(name), [])
})

t.test('a poison event is set aside with the reason, and the others go on', async t => {
  const name = newConsumer()
  let isPoison = true
  const { handed } = await consume(t, name, async (event, tx) => {
    await leaveTrace(name)(event, tx)
    if (numberOf(event) === 2 && isPoison) throw new RangeError('poison\0')
  }, { batch: 10, attempts: 3 })
  const subject = randomUUID()
  for (const [n, about] of [[1], [2, subject], [3], [4, subject], [5]] as [number, string?][]) await record(n, about)
  await until(async () => (await traces(name)).includes(5))
  t.same(await traces(name), [1, 3, 5])

  await t.test('later events of its subject wait behind it', async t => {
    await until(async () => (await failures(name)).length === 2)
    t.match(await failures(name), [
      { type: 'thing.changed', subject, error: 'RangeError: poison', isDue: false, json: /"n":2/ },
      { type: 'thing.changed', subject, error: null, isDue: true, json: /"n":4/ }
    ])
    t.notOk(handed.includes(4))
  })

  await t.test('trimming the log takes nothing from them', async () => {
    await prisma.$transaction(tx => trimEvents(tx, new Date(Date.now() + 1000)))
  })

  await t.test('a retry that fails leaves them where they are, with the newer reason', async t => {
    const before = (await failures(name))[0]?.failedAt
    await retry(name)
    await until(async () => (await failures(name))[0]?.failedAt.getTime() !== before?.getTime())
    t.match(await failures(name), [{ isDue: false }, { isDue: true }])
  })

  await t.test('a retry that works handles them in their order, and then the subject goes on', async t => {
    isPoison = false
    await record(6, subject)
    await until(async () => (await failures(name)).length === 3)
    await retry(name)
    await until(async () => (await failures(name)).length === 0)
    await record(7, subject)
    await until(async () => (await traces(name)).includes(7))
    t.same((await traces(name)).slice(3), [2, 4, 6, 7])
  })
})

t.test('an error of the surroundings sets nothing aside: it is tried until it works', async t => {
  const name = newConsumer()
  let failed = 0
  const { handed } = await consume(t, name, async () => {
    if (++failed < 8) throw Object.assign(new Error('no connection'), { statusCode: 503 })
  }, { attempts: 2 })
  await record(1)
  await until(() => handed.length === 8)
  t.same(await failures(name), [])
})

t.test('any other error is the event\'s: what has failed so often is set aside, and the others go on', async t => {
  const errors: Record<string, () => unknown> = {
    'a file that is not there': () => readFileSync('no/such/template.txt'),
    'a file that may not be read': () => { throw Object.assign(new Error('permission denied'), { code: 'EACCES' }) },
    'words that a connection might say': () => { throw new Error('The gift certificate 4711 is unknown') },
    'parts of such words': () => { throw new Error('waited endlessly for a plan') },
    'another service that is away': () => { throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }) },
    null: () => AbortSignal.abort(null).throwIfAborted(),
    undefined: () => (function * () {})().throw(undefined),
    'what can\'t be asked': () => { throw Object.create(null, { statusCode: { get () { throw new Error('no') } } }) }
  }
  for (const [what, fail] of Object.entries(errors)) {
    await t.test(what, async t => {
      const name = newConsumer()
      const { app, handed } = await consume(t, name, async event => { if (numberOf(event) === 1) await fail() }, { batch: 1, attempts: 2 })
      for (const n of [1, 2]) await record(n)
      await until(() => handed.includes(2))
      t.match(await failures(name), [{ isDue: false, error: String }])
      t.same(handed.filter(n => n === 1), [1, 1])
      await app.close()
    })
  }
})

t.test('the request that caused an event goes with it: to the handler, into the log lines, and where it is set aside', async t => {
  const name = newConsumer()
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const origin = { requestId: 'the-request', traceparent: `00-${traceId}-00f067aa0ba902b7-01` }
  const handed: StoredEvent[] = []
  const { lines } = await buildLogged(t, { ROLE: 'all' }, fastify => fastify.consumeEvents({
    name,
    attempts: 1,
    handler: async event => {
      handed.push(event)
      throw new Error('no')
    }
  }))
  await inTransaction(prisma, tx => recordEvent(tx, { type: 'thing.changed', subject: 'x', data: { n: 1 }, origin }))
  const failure = await until(async () => (await failures(name))[0])
  const { id } = JSON.parse(handed[0]!.json) as { id: string }
  t.same(handed[0]!.origin, origin)
  t.same(failure.origin, origin)
  t.notMatch(handed[0]!.json, /the-request/, 'readers do not get it')
  await until(() => lines.some(({ event }) => event === id))
  t.match(lines.find(({ event }) => event === id), { consumer: name, requestId: 'the-request', traceId })

  await record(2)
  await until(() => handed.length > 1)
  t.equal(handed.at(-1)!.origin, null, 'where none was given there is none')
})

t.test('a statement of the handler that takes too long is the event\'s, too', onServer, async t => {
  const name = newConsumer()
  const { handed } = await consume(t, name, async (event, tx) => {
    if (numberOf(event) !== 1) return
    await tx.$executeRaw`SET LOCAL statement_timeout = 10`
    await tx.$queryRaw`SELECT 1 FROM pg_sleep(1)`
  }, { attempts: 2 })
  for (const n of [1, 2]) await record(n)
  await until(() => handed.includes(2))
  t.match(await failures(name), [{ isDue: false }])
})

t.test('a connection that breaks while an event is handled is not', onServer, async t => {
  const name = newConsumer()
  let cuts = 0
  const { handed } = await consume(t, name, async (_event, tx) => {
    if (++cuts < 5) await tx.$queryRaw`SELECT pg_terminate_backend(pg_backend_pid())`
  }, { attempts: 2 })
  await record(1)
  await until(() => handed.length === 5)
  t.same(await failures(name), [])
})

t.test('an event that the surroundings hold up for long is logged as an error, with the event', async t => {
  const name = newConsumer()
  let isAway = true
  let handled = 0
  const { app, lines } = await buildLogged(t, { ROLE: 'all' }, fastify => fastify.consumeEvents({
    name,
    backoffMs: 5,
    alarmMs: 20,
    handler: async () => {
      if (isAway) throw Object.assign(new Error('the plan is away'), { statusCode: 503 })
      handled++
    }
  }))
  const alarms = () => lines.filter(({ level, consumer }) => level === 50 && consumer === name)
  await record(1, 'held up')
  await until(() => alarms().length > 1)
  t.match(alarms()[0], { type: 'thing.changed', subject: 'held up', event: /^\d+$/, err: { message: 'the plan is away' } })
  isAway = false
  await until(() => handled === 1)
  await app.close()
})

t.test('at shutdown the current event is finished, and no other begun', async t => {
  const name = newConsumer()
  const [begun, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  await (await consume(t, name)).app.close()
  for (const n of [1, 2]) await record(n)
  const { app, handed } = await consume(t, name, async (event, tx) => {
    begun.resolve()
    await finish.promise
    await leaveTrace(name)(event, tx)
  }, { batch: 1 })
  await begun.promise
  const closed = app.close()
  finish.resolve()
  await closed
  t.same(handed, [1])
  t.same(await traces(name), [1])
})

t.test('the log is kept for what a consumer still has to handle, and no longer', async t => {
  const name = newConsumer()
  await prisma.eventConsumer.deleteMany()
  const { app } = await consume(t, name)
  await app.close()
  await record(1)
  const trim = () => prisma.$transaction(tx => trimEvents(tx, new Date(Date.now() + 1000)))
  await trim()
  t.equal(await prisma.event.count(), 1)
  const { handed } = await consume(t, name)
  await until(() => handed.length === 1)
  await until(async () => await trim() === 1)
})

t.test('a place that is kept for a consumer which the code does not have is named at the start', async t => {
  const name = newConsumer()
  await prisma.eventConsumer.create({ data: { name: 'gone', position: 0n } })
  t.teardown(() => prisma.eventConsumer.delete({ where: { name: 'gone' } }))
  const { lines } = await buildLogged(t, { ROLE: 'all' }, fastify => fastify.consumeEvents({ name, handler: async () => {} }))
  t.match(lines.filter(({ level, consumer }) => level === 40 && consumer === 'gone'), [{ msg: /npm run kit -- events drop gone$/ }])
  t.same(lines.filter(({ level, consumer }) => level === 40 && consumer === name), [])
})

t.test('a consumer is declared once, and before the service is ready', async t => {
  const name = newConsumer()
  const { app } = await consume(t, name)
  t.throws(() => app.consumeEvents({ name: 'late', handler: async () => {} }), /declared too late/)
  await t.rejects(buildApp(t, {}, fastify => {
    fastify.consumeEvents({ name, handler: async () => {} })
    fastify.consumeEvents({ name, handler: async () => {} })
  }), /declared twice/)
})

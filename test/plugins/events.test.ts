import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { inTransaction } from '../../services/database.ts'
import { recordEvent, trimEvents } from '../../services/events.ts'
import { buildApp } from '../helpers/app.ts'

const app = await buildApp(t)
const other = await buildApp(t)
/** The embedded database runs transactions one after the other, over one connection. */
const onServer = { skip: process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set' }

interface Got { id: string, type: string, n: number }

/** Follows the events of an app: what came, and a promise for the moment when there are so many. */
async function follow (fastify: FastifyInstance, options: { after?: string, ownerId?: string, subject?: string, topic?: string } = {}) {
  const events: Got[] = []
  const resets: { position: bigint, reason: string }[] = []
  const failures: unknown[] = []
  const { close } = await fastify.events.subscribe({
    event: ({ json }) => { events.push(JSON.parse(json)) },
    reset: (position, reason) => { resets.push({ position, reason }) },
    failed: error => { failures.push(error) }
  }, options)
  return { events, resets, failures, close, until: (count: number) => eventually(() => events.length >= count) }
}

async function eventually (condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

async function record (n: number, { subject = randomUUID(), ownerId = undefined as string | undefined } = {}): Promise<void> {
  await inTransaction(app.prisma, tx => recordEvent(tx, { type: 'thing.changed', subject, ownerId, data: { n } }))
}

/** What the log holds after a position, by `n`. */
async function logged (after: string): Promise<number[]> {
  const rows = await app.prisma.$queryRaw<{ n: number }[]>`SELECT (data->>'n')::int AS n FROM events WHERE position > ${BigInt(after)} ORDER BY position`
  return rows.map(({ n }) => n)
}

t.test('an event reaches the subscribers of every process', async t => {
  const [here, there] = [await follow(app), await follow(other)]
  await record(1)
  await Promise.all([here.until(1), there.until(1)])
  t.match(here.events, [{ type: 'thing.changed', n: 1, id: /^\d+$/, at: /Z$/ }])
  t.same(there.events, here.events)
})

t.test('what is rolled back was never an event', async t => {
  const { events, until } = await follow(app)
  await t.rejects(app.prisma.$transaction(async tx => {
    await recordEvent(tx, { type: 'thing.changed', subject: 'x', data: { n: 1 } })
    throw new Error('no')
  }), { message: 'no' })
  await record(2)
  await until(1)
  t.match(events, [{ n: 2 }])
  t.equal(events.length, 1)
})

t.test('events of transactions that overlap come in the order of their commits, and none is passed by', onServer, async t => {
  const { events, until } = await follow(other)
  const first = Promise.withResolvers<void>()
  const recorded = Promise.withResolvers<void>()
  const slow = app.prisma.$transaction(async tx => {
    await recordEvent(tx, { type: 'thing.changed', subject: 'slow', data: { n: 1 } })
    recorded.resolve()
    await first.promise
  })
  await recorded.promise
  await record(2)
  await until(1)
  first.resolve()
  await slow
  await until(2)
  t.same(events.map(({ n }) => n), [2, 1])
  t.ok(BigInt(events[0]!.id) < BigInt(events[1]!.id))
})

t.test('many writers at once: every event, once, in growing order', async t => {
  const { events, until } = await follow(other)
  await Promise.all(Array.from({ length: 200 }, async (_, n) => {
    await sleep(Math.random() * 50)
    await record(n)
  }))
  await until(200)
  t.same(events.map(({ n }) => n).sort((a, b) => a - b), Array.from({ length: 200 }, (_, n) => n))
  const ids = events.map(({ id }) => BigInt(id))
  t.ok(ids.every((id, index) => index === 0 || id > ids[index - 1]!))
})

t.test('a subscriber gets what concerns its user or its subject, and no more', async t => {
  const [ownerId, subject] = [randomUUID(), randomUUID()]
  const [owned, about, both, none] = [await follow(app, { ownerId }), await follow(app, { subject }), await follow(app, { subject, ownerId: randomUUID() }), await follow(app)]
  await record(1, { ownerId })
  await record(2, { subject, ownerId })
  await record(3)
  await none.until(3)
  t.same(owned.events.map(({ n }) => n), [1, 2])
  t.same(about.events.map(({ n }) => n), [2])
  t.same(both.events, [])
})

t.test('after it is closed a subscription gets nothing', async t => {
  const [closed, open] = [await follow(app), await follow(app)]
  closed.close()
  await record(1)
  await open.until(1)
  t.same(closed.events, [])
})

t.test('a subscriber that fails is let go, and holds nobody up', async t => {
  const failures: unknown[] = []
  await app.events.subscribe({ event: () => { throw new Error('poison') }, reset: () => {}, failed: error => { failures.push(error) } }, {})
  const { events, until } = await follow(app)
  await record(1)
  await record(2)
  await until(2)
  t.equal(events.length, 2)
  t.match(failures, [{ message: 'poison' }])
})

t.test('a subscriber gets the events of its topic alone', async t => {
  const { events, until } = await follow(app, { topic: 'thing' })
  await inTransaction(app.prisma, tx => recordEvent(tx, { type: 'things.changed', subject: 'x', data: { n: 1 } }))
  await record(2)
  await until(1)
  t.same(events.map(({ n }) => n), [2])
})

t.test('a subscription says from where it can be resumed', async t => {
  const following = await app.events.subscribe({ event: () => {}, reset: () => {}, failed: () => {} }, { ownerId: randomUUID() })
  const before = following.position
  await record(1)
  await eventually(() => following.position > before)
  t.equal(following.position, app.events.position)
})

t.test('a reader that takes one event at a time gets all of them, from memory as from the database', async t => {
  const start = String(app.events.position)
  for (let n = 0; n < 30; n++) await record(n)
  for (const fastify of [app, await buildApp(t)]) {
    const events: number[] = []
    let [taken, most] = [0, 0]
    let failure: unknown
    await fastify.events.subscribe({
      event: ({ json }) => {
        events.push((JSON.parse(json) as Got).n)
        most = Math.max(most, events.length - taken)
        return false
      },
      drained: async () => {
        await sleep(1)
        taken = events.length
      },
      reset: () => {},
      failed: error => { failure = error }
    }, { after: start })
    await eventually(() => taken === 30)
    t.equal(most, 1)
    await record(30)
    await eventually(() => events.length === 31)
    t.same(events, Array.from({ length: 31 }, (_, n) => n))
    t.equal(failure, undefined)
    await app.prisma.event.deleteMany({ where: { data: { path: ['n'], equals: 30 } } })
  }
})

t.test('subscribers that come at once share a reading of the log', async t => {
  const fresh = await buildApp(t)
  let readings = 0
  fresh.prisma.$on('query' as never, ({ query }: { query: string }) => { if (/FROM events/.test(query)) readings++ })
  await Promise.all(Array.from({ length: 200 }, () => follow(fresh)))
  t.ok(readings < 20, `${readings} readings`)
})

t.test('a position is resumed without loss or double', async t => {
  t.test('from memory', async t => {
    const before = await follow(app)
    for (let n = 1; n <= 5; n++) await record(n)
    await before.until(5)
    const { events, until, resets } = await follow(app, { after: before.events[1]!.id })
    await record(6)
    await until(4)
    t.same(events.map(({ n }) => n), [3, 4, 5, 6])
    t.same(resets, [])
  })

  t.test('from the database, by a process that has seen none of it, while more are written', async t => {
    const start = String(app.events.position)
    for (let n = 0; n < 700; n += 100) await Promise.all(Array.from({ length: 100 }, (_, i) => record(n + i)))
    const fresh = await buildApp(t)
    const writing = (async () => { for (let n = 700; n < 800; n++) await record(n) })()
    const { events, until } = await follow(fresh, { after: start })
    await until(800)
    await writing
    t.same(events.map(({ n }) => n), await logged(start))
    t.equal(new Set(events.map(({ id }) => id)).size, 800)
  })

  t.test('by a filter', async t => {
    const ownerId = randomUUID()
    const start = String(app.events.position)
    for (let n = 0; n < 20; n++) await record(n, { ownerId: n % 5 === 0 ? ownerId : undefined })
    const fresh = await buildApp(t)
    const { events, until } = await follow(fresh, { after: start, ownerId })
    await record(20, { ownerId })
    await until(5)
    t.same(events.map(({ n }) => n), [0, 5, 10, 15, 20])
  })
})

t.test('a position that can\'t be resumed is reset', async t => {
  for (const [after, reason] of [['-1', 'malformed'], ['1.5', 'malformed'], ['99999999999999999999', 'malformed'], ['x', 'malformed'], ['', 'malformed'], ['999999999999', 'future']] as const) {
    t.test(`"${after}"`, async t => {
      const { events, resets, until } = await follow(app, { after })
      await record(7)
      await until(1)
      t.match(resets, [{ reason }])
      t.match(events, [{ n: 7 }])
      t.ok(BigInt(events[0]!.id) > resets[0]!.position)
    })
  }

  t.test('one that is older than what is kept', async t => {
    const start = String(app.events.position)
    await record(1)
    const trimmed = await app.prisma.$transaction(tx => trimEvents(tx, new Date(Date.now() + 1000)))
    const fresh = await buildApp(t)
    const { events, resets, until } = await follow(fresh, { after: start })
    await record(2)
    await until(1)
    t.ok(trimmed > 0)
    t.match(resets, [{ reason: 'expired' }])
    t.match(events, [{ n: 2 }])
  })

  t.test('the newest event is not too old after everything was trimmed', async t => {
    await record(1)
    const { prisma } = app
    const newest = (await prisma.event.findFirstOrThrow({ orderBy: { position: 'desc' } })).position
    await prisma.$transaction(tx => trimEvents(tx, new Date(Date.now() + 1000)))
    const { resets } = await follow(await buildApp(t), { after: String(newest) })
    t.same(resets, [])
  })
})

t.test('events of before the retention are trimmed, but not what a durable consumer still has to read', async t => {
  const { prisma } = app
  const trim = (until: Date) => prisma.$transaction(tx => trimEvents(tx, until))
  await trim(new Date(Date.now() + 1000))
  await record(1)
  const { position } = await prisma.event.findFirstOrThrow()
  t.equal(await trim(new Date(Date.now() - 60_000)), 0)
  await prisma.eventConsumer.create({ data: { name: 'slow', position: position! - 1n } })
  t.equal(await trim(new Date(Date.now() + 1000)), 0)
  await prisma.eventConsumer.update({ where: { name: 'slow' }, data: { position: position! } })
  t.equal(await trim(new Date(Date.now() + 1000)), 1)
  await prisma.eventConsumer.deleteMany()
})

t.test('what readers get says which event it is, whatever its data has', async t => {
  const { events, until } = await follow(app)
  const data = { id: 'mine', type: 'mine', at: 'mine', n: 1 }
  await inTransaction(app.prisma, tx => recordEvent(tx, { type: 'thing.changed', subject: 'x', data }))
  await until(1)
  t.match(events, [{ id: /^\d+$/, type: 'thing.changed', at: /Z$/, n: 1 }])
})

t.test('a log that has gone back', async t => {
  /** What a failover to a standby that lagged does, or a restore: what followed a position has never been. */
  async function goBack (position: bigint, ...then: number[]): Promise<void> {
    await inTransaction(app.prisma, async tx => {
      await tx.event.deleteMany({ where: { position: { gt: position } } })
      await tx.$queryRaw`SELECT setval('event_positions', ${position}::bigint)::text`
      for (const n of then) await recordEvent(tx, { type: 'thing.changed', subject: 'x', data: { n } })
    })
  }

  /** A reader that has had three events, and the position of the first. */
  async function readerOfThree () {
    const reader = await follow(app)
    await record(1)
    await reader.until(1)
    const { position } = app.events
    for (const n of [2, 3]) await record(n)
    await reader.until(3)
    return { reader, position }
  }

  t.test('is told to its readers, who get what is new', async t => {
    const { reader, position } = await readerOfThree()
    await goBack(position)
    await eventually(() => reader.resets.length === 1)
    t.same(reader.resets, [{ position, reason: 'future' }])
    await record(4)
    await reader.until(4)
    t.same(reader.events.map(({ n }) => n), [1, 2, 3, 4])
    t.ok(BigInt(reader.events[3]!.id) <= BigInt(reader.events[2]!.id))

    await t.test('and memory has nothing of what has vanished', async t => {
      const { events, until } = await follow(app, { after: String(position) })
      await until(1)
      t.same(events.map(({ n }) => n), [4])
    })
  })

  t.test('is noticed though its positions were given out again', async t => {
    const { reader, position } = await readerOfThree()
    await goBack(position, 12, 13)
    await eventually(() => reader.resets.length === 1)
    await record(14)
    await reader.until(4)
    t.same(reader.events.map(({ n }) => n), [1, 2, 3, 14])
    t.ok(BigInt(reader.events[3]!.id) > reader.resets[0]!.position)
  })
})

t.test('connections that are cut are made anew, and nothing is missed', onServer, async t => {
  const { events, until } = await follow(other)
  await app.prisma.$queryRaw`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keel events'`
  await record(1)
  await until(1)
  await record(2)
  await until(2)
  t.same(events.map(({ n }) => n), [1, 2])
})

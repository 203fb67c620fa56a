// Changes of a collection, handed over once each: in a MongoDB where MONGODB_URL is set and has change streams, and by a
// stand-in for what a server says when something is wrong.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { BSON, type Document } from 'mongodb'
import t, { type Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import type { Change } from '../../plugins/mongodb/index.ts'
import { buildApp, registered } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { failure, standIn } from '../helpers/mongodb-stand-in.ts'
import { features, mongoClient, withMongodb } from '../helpers/mongodb.ts'
import { newReview } from '../helpers/reviews.ts'
import { until } from '../helpers/until.ts'

const web = await buildApp(t)
const { prisma } = web
const { changes, updates } = await features()
const withChanges = { skip: withMongodb.skip || (!changes && 'the server of MONGODB_URL has no change streams') }
const withUpdates = { skip: withChanges.skip || (!updates && 'the server of MONGODB_URL does not say which document was updated') }

type Handler = (change: Change) => Promise<void> | void

/** A service that follows a collection, and writes a mail for each change, in its transaction. */
async function following (t: Test, name: string, handler: Handler = () => {}, config: Partial<Config> = {}) {
  const extend = (fastify: FastifyInstance) => {
    fastify.after(() => fastify.mongodb.follow({
      name,
      collection: name,
      handler: async (change, tx) => {
        await tx.mail.create({ data: { id: randomUUID(), recipient: name, subject: `${change.kind} ${String(change.id)}`, text: JSON.stringify(change.document) } })
        await handler(change)
      }
    }))
  }
  const { app, lines } = await buildLogged(t, { ROLE: 'all', ...config }, extend)
  return { app, lines, messages: () => lines.filter(line => line.changes === name).map(({ msg }) => msg) }
}

const effects = async (name: string) => (await prisma.mail.findMany({ where: { recipient: name }, orderBy: { createdAt: 'asc' } })).map(({ subject }) => subject)
const place = async (name: string) => await prisma.changeStreamPosition.findUnique({ where: { name } })
const newName = () => `things_${randomUUID().slice(0, 8)}`
/** Of the service's own database. */
const collection = (name: string) => mongoClient().db(/\/([^/?]+)(?:\?|$)/.exec(web.config.MONGODB_URL ?? '')?.[1]).collection<{ _id: string, n?: number }>(name)
/** What a change comes after: followers begin with what is written from now on. Until it is seen, another. */
async function begun (name: string): Promise<number> {
  await until(async () => {
    await collection(name).insertOne({ _id: `start ${randomUUID()}` })
    return (await effects(name)).length > 0
  })
  return (await effects(name)).length
}
const since = async (name: string, start: number) => (await effects(name)).slice(start)
/** Of the changes, those that are no beginnings. */
const seen = async (name: string) => (await effects(name)).filter(text => !text.includes('start'))

t.test('changes are handed over in their order, with the document', withChanges, async t => {
  const name = newName()
  const documents: (Document | null)[] = []
  await following(t, name, ({ id, document }) => { if (id === 'a') documents.push(document) })
  await begun(name)
  await collection(name).insertOne({ _id: 'a', n: 1 })
  await until(async () => (await seen(name)).length === 1)
  await collection(name).deleteOne({ _id: 'a' })
  await until(async () => (await seen(name)).length === 2)
  t.same(await seen(name), ['created a', 'deleted a'])
  t.same(documents, [{ _id: 'a', n: 1 }, null])
})

t.test('of a document that was updated the whole is handed over', withUpdates, async t => {
  const name = newName()
  const documents: (Document | null)[] = []
  await following(t, name, ({ id, kind, document }) => { if (id === 'a' && kind === 'changed') documents.push(document) })
  await begun(name)
  await collection(name).insertOne({ _id: 'a', n: 1 })
  await collection(name).updateOne({ _id: 'a' }, { $set: { n: 2 } })
  await until(() => documents.length > 0)
  t.same(documents, [{ _id: 'a', n: 2 }])
})

t.test('what is written while no process runs is handed over by the next, and nothing twice', withChanges, async t => {
  const name = newName()
  const first = await following(t, name)
  await begun(name)
  await collection(name).insertOne({ _id: 'a' })
  await until(async () => (await seen(name)).includes('created a'))
  await first.app.close()
  await collection(name).insertMany([{ _id: 'b' }, { _id: 'c' }])
  await following(t, name)
  await until(async () => (await seen(name)).includes('created c'))
  await collection(name).insertOne({ _id: 'd' })
  await until(async () => (await seen(name)).includes('created d'))
  t.same(await seen(name), ['created a', 'created b', 'created c', 'created d'])
})

t.test('of two processes one hands over; the other goes on when it stops', withChanges, async t => {
  const name = newName()
  const first = await following(t, name)
  await begun(name)
  const { holder } = (await place(name))!
  await following(t, name)
  await collection(name).insertMany(Array.from({ length: 20 }, (_, n) => ({ _id: String(n) })))
  await until(async () => (await seen(name)).length >= 20)
  await first.app.close()
  await until(async () => ![null, holder].includes((await place(name))!.holder))
  await collection(name).insertOne({ _id: 'last' })
  await until(async () => (await seen(name)).includes('created last'))
  t.equal((await seen(name)).length, 21)
})

t.test('a change whose handler fails is tried again, and leaves nothing half done', withChanges, async t => {
  const name = newName()
  let failures = 0
  const { messages } = await following(t, name, ({ id }) => {
    if (id === 'a' && failures < 2) {
      failures++
      throw new Error('not yet')
    }
  })
  await begun(name)
  await collection(name).insertMany([{ _id: 'a' }, { _id: 'b' }])
  await until(async () => (await seen(name)).includes('created b'))
  t.same(await seen(name), ['created a', 'created b'])
  t.equal(failures, 2)
  t.same(messages(), ['a change could not be handled, and will be tried again', 'changes are followed again'])
})

t.test('what happens to reviews is in the log of the events', withChanges, async t => {
  const { app } = await buildLogged(t, { ROLE: 'all' })
  const { token } = await registered(app)
  const events = async () => await prisma.event.findMany({ where: { type: { startsWith: 'review.' } }, orderBy: { position: 'asc' } })
  await until(async () => {
    await newReview(app, token)
    return (await events()).length > 0
  })
  const id = await newReview(app, token, { title: 'Loud' })
  const event = await until(async () => (await events()).find(({ subject }) => subject === id))
  t.match(event, { type: 'review.created', subject: id, ownerId: null, data: { reviewId: id, review: { id, title: 'Loud', version: 1 } } })
})

const cursor = (token: string | undefined, ...batch: Document[]): Document => ({ ok: 1, cursor: { id: BSON.Long.fromNumber(7), ns: '', firstBatch: batch, ...token === undefined ? {} : { postBatchResumeToken: { _data: token } } } })
const inserted = (id: string, token: string) => ({ _id: { _data: token }, operationType: 'insert', ns: { db: 'app', coll: 'things' }, documentKey: { _id: id }, fullDocument: { _id: id } })
const pause = async <T> (value: T) => await new Promise<T>(resolve => setTimeout(() => resolve(value), 20))

/** A stand-in whose change stream of a collection gives these, one after the other, and then nothing. */
async function streaming (t: Test, name: string, answers: (() => Document)[]) {
  const starts: (Document | undefined)[] = []
  const server = await standIn(t, {
    answer: async ({ aggregate, pipeline, getMore, collection }) => {
      if (aggregate === undefined && getMore === undefined) return undefined
      // The service follows the reviews as well.
      const asked = String(aggregate ?? collection)
      if (aggregate === name) starts.push(pipeline[0].$changeStream.startAfter)
      const answer = asked !== name ? cursor(undefined) : answers.shift()?.() ?? cursor(`idle-${starts.length}`)
      if (answer.cursor === undefined) return await pause(answer)
      const { firstBatch, ...rest } = answer.cursor as Document
      return await pause({ ok: 1, cursor: { ...rest, ns: `app.${asked}`, [aggregate === undefined ? 'nextBatch' : 'firstBatch']: firstBatch } })
    }
  })
  return { server, starts }
}

t.test('a place is there before the first change, and is kept up when others change', async t => {
  const name = newName()
  const { server } = await streaming(t, name, [() => cursor('beginning'), () => cursor('beginning')])
  await following(t, name, undefined, { MONGODB_URL: server.url })
  await until(async () => (await place(name))?.token === '{"_data":"beginning"}')
  await until(async () => (await place(name))?.token === '{"_data":"idle-1"}')
  t.pass()
})

t.test('a process begins behind the change that was handed over last', async t => {
  const name = newName()
  const { server, starts } = await streaming(t, name, [() => cursor('beginning'), () => cursor('one', inserted('a', 'one'))])
  const { app } = await following(t, name, undefined, { MONGODB_URL: server.url })
  await until(async () => (await effects(name)).length === 1)
  await app.close()
  const next = await streaming(t, name, [])
  await following(t, name, undefined, { MONGODB_URL: next.server.url })
  await until(() => next.starts.length > 0)
  t.same(starts, [undefined])
  t.match(next.starts[0], { _data: /^(?:one|idle-1)$/ })
})

t.test('a process whose place another has taken hands nothing more over', async t => {
  const name = newName()
  const { promise, resolve } = Promise.withResolvers<void>()
  const { server } = await streaming(t, name, [() => cursor('beginning'), () => cursor('one', inserted('a', 'one'), inserted('b', 'two'))])
  let handled = 0
  await following(t, name, async () => {
    handled++
    await promise
  }, { MONGODB_URL: server.url })
  await until(() => handled === 1)
  // The place is locked until the first change is committed.
  const taken = prisma.changeStreamPosition.update({ where: { name }, data: { holder: randomUUID() } })
  resolve()
  await taken
  await until(async () => (await effects(name)).length === 1)
  t.equal(handled, 1)
  t.same(await since(name, 0), ['created a'])
})

t.test('changes that MongoDB has forgotten are named as lost, and the next ones are followed', async t => {
  const name = newName()
  await prisma.changeStreamPosition.create({ data: { name, token: '{"_data":"old"}' } })
  const { server, starts } = await streaming(t, name, [() => failure(286, ['NonResumableChangeStreamError']), () => cursor('beginning'), () => cursor('one', inserted('a', 'one'))])
  const { messages } = await following(t, name, undefined, { MONGODB_URL: server.url })
  await until(async () => (await effects(name)).length === 1)
  t.same(starts, [{ _data: 'old' }, undefined])
  t.ok(messages().some(text => text.startsWith('changes were lost')))
})

t.test('a collection that was dropped is followed on', async t => {
  const name = newName()
  const { server, starts } = await streaming(t, name, [
    () => cursor('beginning'),
    () => cursor('two', { _id: { _data: 'one' }, operationType: 'drop', ns: { db: 'app', coll: 'things' } }, { _id: { _data: 'two' }, operationType: 'invalidate' }),
    () => cursor('two'),
    () => cursor('three', inserted('a', 'three'))
  ])
  await following(t, name, undefined, { MONGODB_URL: server.url })
  await until(async () => (await effects(name)).length === 1)
  t.same(starts[1], { _data: 'two' })
})

t.test('a server without change streams is said to have none, and tried again', async t => {
  const name = newName()
  const { server } = await streaming(t, name, [() => failure(40_573), () => cursor('beginning'), () => cursor('one', inserted('a', 'one'))])
  const { messages } = await following(t, name, undefined, { MONGODB_URL: server.url })
  await until(async () => (await effects(name)).length === 1)
  t.same(messages(), ['changes can\'t be followed now, and will be', 'changes are followed again'])
})

t.test('a web process follows nothing', async t => {
  const name = newName()
  const { server, starts } = await streaming(t, name, [])
  const { app } = await following(t, name, undefined, { MONGODB_URL: server.url, ROLE: 'web' })
  await app.mongodb.collection(name).insertOne({})
  t.same(starts, [])
  t.equal(await place(name), null)
})

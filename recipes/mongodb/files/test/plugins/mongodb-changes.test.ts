// Changes of a collection, handed over once each: in a MongoDB where MONGODB_URL is set and has change streams.
import { randomUUID } from 'node:crypto'
import type { Document } from 'mongodb'
import t from 'tap'
import { buildApp, registered } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { changesIn, following, newName } from '../helpers/mongodb-changes.ts'
import { features, mongoClient, withMongodb } from '../helpers/mongodb.ts'
import { newReview } from '../helpers/reviews.ts'
import { until } from '../helpers/until.ts'

const web = await buildApp(t)
const { prisma } = web
const { effects, place } = changesIn(web)
const { changes, updates } = await features()
const withChanges = { skip: withMongodb.skip || (!changes && 'the server of MONGODB_URL has no change streams') }
const withUpdates = { skip: withChanges.skip || (!updates && 'the server of MONGODB_URL does not say which document was updated') }

/** Of the service's own database. */
const collection = (name: string) => mongoClient().db(/\/([^/?]+)(?:\?|$)/.exec(web.config.MONGODB_URL ?? '')?.[1]).collection<{ _id: string, n?: number }>(name)
/** What a change comes after: followers begin with what is written from now on. Until it is seen, another. */
async function begun (name: string): Promise<void> {
  await until(async () => {
    await collection(name).insertOne({ _id: `start ${randomUUID()}` })
    return (await effects(name)).length > 0
  })
}
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

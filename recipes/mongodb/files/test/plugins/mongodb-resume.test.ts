// Where a process goes on with the changes of a collection, by a stand-in for what a server says when something is wrong.
import { randomUUID } from 'node:crypto'
import { BSON, type Document } from 'mongodb'
import t, { type Test } from 'tap'
import { buildApp } from '../helpers/app.ts'
import { changesIn, following, newName } from '../helpers/mongodb-changes.ts'
import { failure, standIn } from '../helpers/mongodb-stand-in.ts'
import { until } from '../helpers/until.ts'

const web = await buildApp(t)
const { prisma } = web
const { effects, place } = changesIn(web)
const since = async (name: string, start: number) => (await effects(name)).slice(start)

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
  const { server } = await streaming(t, name, [() => cursor('beginning'), () => cursor('one', inserted('a', 'one'), inserted('b', 'two'))])
  let handled = 0
  await following(t, name, async (_change, tx) => {
    handled++
    // With the first change: so before the second is begun, however slow either is.
    await tx.changeStreamPosition.update({ where: { name }, data: { holder: randomUUID() } })
  }, { MONGODB_URL: server.url })
  await until(() => server.commands.some(({ killCursors }) => killCursors === name))
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

// The collections as `npm run db:migrate` makes them, in a MongoDB where MONGODB_URL is set.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Type } from 'typebox'
import t from 'tap'
import { missingIn, prepareCollections } from '../../plugins/mongodb/schema.ts'
import { defineCollection, resourceDocument } from '../../services/mongodb/collection.ts'
import { collections } from '../../services/mongodb/collections.ts'
import { testDatabase } from '../helpers/app.ts'
import { features, newDatabase, withMongodb } from '../helpers/mongodb.ts'
import { freePort } from '../helpers/process.ts'

const root = join(import.meta.dirname, '../..')
const { validation } = await features()
const withValidation = { skip: withMongodb.skip || (!validation && 'the server of MONGODB_URL does not validate documents') }
const indexes = [{ name: 'by_n', key: { n: 1 as const }, unique: true }]
const things = (more: object = {}) => defineCollection({ name: 'things', document: resourceDocument({ n: Type.Integer({ minimum: 0, maximum: 9 }), ...more }), indexes })

/** `npm run db:migrate`, on a PostgreSQL that is up to date. */
async function migrate (url: string) {
  const { status, stdout, stderr } = spawnSync(join(root, 'kit/migrate'), { encoding: 'utf8', env: { ...process.env, DATABASE_URL: await testDatabase(), MONGODB_URL: url } })
  return { status, output: stdout + stderr }
}

t.test('collections and indexes are made with the migrations', withMongodb, async t => {
  const { url, db } = newDatabase()
  const { status, output } = await migrate(url)
  t.equal(status, 0, output)
  t.match(output, /MongoDB has now: the collection reviews, the index reviews\.product_author/)
  t.same((await db.listCollections().toArray()).map(({ name }) => name).sort(), ['ratings', 'reviews'])
  t.same((await db.collection('reviews').indexes()).map(({ name }) => name).sort(), ['_id_', 'author', 'created', 'product_author', 'product_created', 'product_rating', 'rating'])
})

t.test('a server that is away fails the migration, in words', async t => {
  const { status, output } = await migrate(`mongodb://127.0.0.1:${await freePort()}/app`)
  t.equal(status, 1)
  t.match(output, /The collections of MongoDB could not be made: .*ECONNREFUSED/)
  t.notMatch(output, /^\s+at /m)
})

t.test('without MONGODB_URL the migration is that of PostgreSQL alone', async t => {
  const { status, output } = await migrate('')
  t.equal(status, 0, output)
  t.notMatch(output, /MongoDB/)
})

t.test('what is missing is named', withMongodb, async t => {
  const { db } = newDatabase()
  t.same(await missingIn(db, [things()]), ['the collection things is missing'])
  await prepareCollections(db, [things()])
  await db.collection('things').dropIndex('by_n')
  t.ok((await missingIn(db, [things()])).includes('the index things.by_n is missing'))
})

t.test('an index of the same name that is another is not touched, and named', withMongodb, async t => {
  const { db } = newDatabase()
  await db.collection('things').createIndex({ other: 1 }, { name: 'by_n' })
  t.ok((await missingIn(db, [things()])).includes('the index things.by_n is another'))
  await t.rejects(prepareCollections(db, [...collections, things()]), { message: /^The index by_n of things is there, and is another/ })
  t.same((await db.listCollections().toArray()).map(({ name }) => name), ['things'], 'nothing was made')
})

t.test('several may make them at once', withValidation, async t => {
  const { db } = newDatabase()
  await Promise.all([1, 2, 3].map(async () => await prepareCollections(db, collections)))
  t.equal((await db.collection('reviews').indexes()).length, 7)
})

t.test('what is there as it should be is left alone', withValidation, async t => {
  const { db } = newDatabase()
  t.same(await prepareCollections(db, collections), [...(await prepareCollections(newDatabase().db, collections))])
  t.same(await prepareCollections(db, collections), [])
  t.same(await missingIn(db, collections), [])
})

t.test('another validator takes the place of the one before; documents stay as they are', withValidation, async t => {
  const { db } = newDatabase()
  await prepareCollections(db, [things()])
  const now = new Date()
  const document = { _id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11' as never, n: 1, version: 1, createdAt: now, updatedAt: now }
  await db.collection('things').insertOne(document)
  const later = things({ more: Type.Boolean() })
  t.same(await missingIn(db, [later]), ['the collection things has another validator'])
  t.same(await prepareCollections(db, [later]), ['the validator of things'])
  t.equal(await db.collection('things').countDocuments(), 1)
  await t.rejects(db.collection('things').insertOne({ ...document, _id: 'x' as never, n: 2 }), { code: 121 })
})

import { randomUUID } from 'node:crypto'
import { MongoClient, MongoServerError, type Db } from 'mongodb'
import t from 'tap'
import { prepareCollections } from '../../plugins/mongodb/schema.ts'
import { collections } from '../../services/mongodb/collections.ts'

const given = process.env.MONGODB_URL
/** For tests that need a MongoDB. */
export const withMongodb = { skip: given === undefined && 'MONGODB_URL is not set' }

let client: MongoClient | undefined
let database: Promise<string> | undefined

/** A client of the test file's own. */
export function mongoClient (): MongoClient {
  if (client === undefined) {
    const opened = client = new MongoClient(given ?? '', { serverSelectionTimeoutMS: 10_000 })
    t.teardown(() => opened.close())
  }
  return client
}

/** The URL of MONGODB_URL with another database, new and empty. It goes with the test file. */
export function newDatabase (): { url: string, db: Db } {
  const name = `keel_test_${randomUUID().replaceAll('-', '')}`
  const db = mongoClient().db(name)
  // Before the client is closed: what is registered last goes first.
  t.teardown(async () => { await db.dropDatabase() })
  return { db, url: (given ?? '').replace(/^([^:]+:\/\/[^/?]+)\/?[^?]*/, `$1/${name}`) }
}

/** A new database with the collections of the service. */
export async function preparedDatabase (): Promise<{ url: string, db: Db }> {
  const created = newDatabase()
  await prepareCollections(created.db, collections)
  return created
}

/** What the service of a test is told: a database of the test file's own, where there is a server. */
export async function mongodbSettings (): Promise<Record<string, string>> {
  if (given === undefined) return {}
  database ??= preparedDatabase().then(({ url }) => url)
  const { transactions } = await features()
  return { MONGODB_URL: await database, MONGODB_TRANSACTIONS: transactions ? 'required' : 'when-available' }
}

interface Features { transactions: boolean, validation: boolean, changes: boolean, updates: boolean }
let found: Promise<Features> | undefined

/** What the server can do: not every one is a replica set, or MongoDB itself. */
export async function features (): Promise<Features> {
  return await (found ??= look())
}

async function look (): Promise<Features> {
  if (given === undefined) return { transactions: false, validation: false, changes: false, updates: false }
  const { db } = newDatabase()
  const hello = await db.admin().command({ hello: 1 }).catch(() => ({}) as Record<string, unknown>)
  const transactions = hello.setName !== undefined || hello.msg === 'isdbgrid'
  const checked = await db.createCollection('checked', { validator: { $jsonSchema: { required: ['n'] } } })
  const validation = await checked.insertOne({}).then(() => false, error => error instanceof MongoServerError && error.code === 121)
  const stream = checked.watch([], { maxAwaitTimeMS: 1 })
  const changes = await stream.tryNext().then(() => true, () => false)
  let updates = false
  if (changes) {
    await checked.insertOne({ n: 1 })
    await checked.updateOne({ n: 1 }, { $set: { n: 2 } })
    await stream.next()
    const update = await stream.next()
    updates = 'documentKey' in update && update.documentKey._id !== undefined
  }
  await stream.close()
  return { transactions, validation, changes, updates }
}

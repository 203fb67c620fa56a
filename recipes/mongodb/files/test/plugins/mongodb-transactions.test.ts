import t from 'tap'
import { Repository, type Kept } from '../../services/mongodb/repository.ts'
import { withoutDatabase } from '../helpers/app.ts'
import { connected } from '../helpers/mongodb-service.ts'
import { failure } from '../helpers/mongodb-stand-in.ts'
import { until } from '../helpers/until.ts'

withoutDatabase()

const conflict = () => failure(112, ['TransientTransactionError'])

t.test('a transaction is one for the server, and is committed', async t => {
  const { app, server, names } = await connected(t)
  const result = await app.mongodb.transaction(async session => {
    await app.mongodb.collection('things').insertOne({ n: 1 }, { session })
    await app.mongodb.collection('things').updateOne({ n: 1 }, { $inc: { n: 1 } }, { session })
    return 'done'
  })
  t.equal(result, 'done')
  t.same(names(), ['insert', 'update', 'commitTransaction'])
  const [insert, update, commit] = server.commands
  t.match(insert, { startTransaction: true, autocommit: false, readConcern: { level: 'snapshot' } })
  t.notOk(update!.startTransaction)
  t.same([update!.txnNumber, commit!.txnNumber], [insert!.txnNumber, insert!.txnNumber])
  t.match(commit, { writeConcern: { w: 'majority' } })
})

t.test('a transaction that met changes of others begins again', async t => {
  let conflicts = 2
  const { app, names } = await connected(t, { answer: ({ insert }) => insert !== undefined && conflicts-- > 0 ? conflict() : undefined })
  let runs = 0
  await app.mongodb.transaction(async session => {
    runs++
    await app.mongodb.collection('things').insertOne({ n: 1 }, { session })
  })
  t.equal(runs, 3)
  t.equal(names().at(-1), 'commitTransaction')
})

t.test('also through a repository, whose errors say 503', async t => {
  let conflicts = 1
  const { app, names } = await connected(t, { answer: ({ insert }) => insert !== undefined && conflicts-- > 0 ? conflict() : undefined })
  const things = new Repository<Kept & { n: number }>(app.mongodb, { name: 'things', validator: { $jsonSchema: {} }, indexes: [] })
  const thing = await app.mongodb.transaction(async session => await things.insert({ n: 7 }, session))
  t.match(thing, { n: 7, version: 1, id: /^[0-9a-f]{8}-[0-9a-f]{4}-7/ })
  t.equal(names().filter(name => name === 'insert').length, 2)
})

t.test('a commit of which nobody knows what became is sent again', async t => {
  let unknown = 1
  const { app, names } = await connected(t, { answer: ({ commitTransaction }) => commitTransaction !== undefined && unknown-- > 0 ? failure(91, ['UnknownTransactionCommitResult', 'RetryableWriteError']) : undefined })
  let runs = 0
  await app.mongodb.transaction(async session => {
    runs++
    await app.mongodb.collection('things').insertOne({ n: 1 }, { session })
  })
  t.equal(runs, 1)
  t.ok(names().filter(name => name === 'commitTransaction').length > 1)
})

t.test('conflicts without an end are given up as 503', async t => {
  const { app } = await connected(t, { answer: ({ insert }) => insert === undefined ? undefined : conflict() }, { MONGODB_TIMEOUT: 300 })
  const error = await app.mongodb.transaction(async session => { await app.mongodb.collection('things').insertOne({ n: 1 }, { session }) }).catch(error => error)
  t.match(app.problemOf(error), { status: 503, code: 'UNAVAILABLE' })
})

t.test('a transaction that nobody waits for any more is taken back', async t => {
  const { app, names } = await connected(t, {}, { MONGODB_TIMEOUT: 100 })
  const { promise, resolve } = Promise.withResolvers<void>()
  await t.rejects(app.mongodb.transaction(async session => {
    await app.mongodb.collection('things').insertOne({ n: 1 }, { session })
    await promise
  }), { message: /within 100 ms/ })
  resolve()
  await until(() => names().includes('abortTransaction'))
  t.notOk(names().includes('commitTransaction'))
})

t.test('what fails in a transaction is taken back', async t => {
  const { app, names } = await connected(t)
  await t.rejects(app.mongodb.transaction(async session => {
    await app.mongodb.collection('things').insertOne({ n: 1 }, { session })
    throw new Error('no')
  }), { message: 'no' })
  await until(() => names().includes('abortTransaction'))
  t.notOk(names().includes('commitTransaction'))
})

t.test('a single server has no transactions: they are refused, and the service is not ready', async t => {
  const { app, check, names } = await connected(t, { isReplicated: false })
  let runs = 0
  await t.rejects(app.mongodb.transaction(async () => { runs++ }), { statusCode: 503, message: /single server.*rs\.initiate/ })
  t.equal(runs, 0)
  t.match(await check(), { status: 'unavailable', detail: /single server/ })
  t.same(names(), [])
})

t.test('where they need not be, their steps are done one by one', async t => {
  const { app, server, names } = await connected(t, { isReplicated: false }, { MONGODB_TRANSACTIONS: 'when-available' })
  await app.mongodb.transaction(async session => {
    t.equal(session, undefined)
    await app.mongodb.collection('things').insertOne({ n: 1 }, { session })
  })
  t.same(names(), ['insert'])
  t.notOk(server.commands[0]!.startTransaction)
})

// What the plugin makes of servers that are away, slow, single, or refuse. They are a stand-in without a database; what
// MongoDB itself does is in test/routes/reviews.test.ts.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { loadConfig, type Config } from '../../plugins/config/index.ts'
import { DuplicateError } from '../../services/mongodb/failures.ts'
import { Repository, type Kept } from '../../services/mongodb/repository.ts'
import { buildApp, testConfig, withoutDatabase } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { failure, found, standIn, type StandInOptions } from '../helpers/mongodb-stand-in.ts'
import { freePort } from '../helpers/process.ts'
import { until } from '../helpers/until.ts'

withoutDatabase()

const METRICS_TOKEN = 'a-token-of-the-metrics'
/** What waits for it shows by hanging. */
const PATIENT = 600_000
const RATING = '/ratings/0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'
const conflict = () => failure(112, ['TransientTransactionError'])

async function service (t: Test, url: string | undefined, config: Partial<Config> = {}) {
  const app = await buildApp(t, { MONGODB_URL: url, MONGODB_TRANSACTIONS: 'required', MONGODB_TIMEOUT: PATIENT, METRICS_TOKEN, ...config })
  const check = async () => (await app.inject({ url: '/health/ready', headers: { authorization: `Bearer ${METRICS_TOKEN}` } })).json().checks.mongodb
  const status = async () => (await app.inject({ url: RATING })).statusCode
  return { app, check, status }
}

/** A stand-in, and a service that has found it. */
async function connected (t: Test, options: StandInOptions = {}, config: Partial<Config> = {}) {
  const server = await standIn(t, options)
  const built = await service(t, server.url, config)
  await until(async () => (await built.check()).detail !== 'it has not answered yet')
  server.commands.length = 0
  return { ...built, server, names: () => server.commands.map(command => Object.keys(command)[0]) }
}

t.test('without MONGODB_URL what is in MongoDB is not available, and the readiness does not ask for it', async t => {
  const { app, check } = await service(t, undefined)
  const response = await app.inject({ url: '/reviews' })
  t.equal(response.statusCode, 503)
  t.match(response.json(), { code: 'UNAVAILABLE', type: '/problems/unavailable' })
  t.match(response.headers, { 'retry-after': /^\d+$/, 'content-type': 'application/problem+json' })
  t.equal(await check(), undefined)
})

t.test('MONGODB_URL names a database, on one server or several', async t => {
  const read = (MONGODB_URL: string) => loadConfig({ NODE_ENV: 'test', MONGODB_URL }).MONGODB_URL
  for (const url of ['mongodb://localhost/app', 'mongodb://user:hunter2@a:27017,b:27018/app?replicaSet=rs', 'mongodb+srv://user:s3cret@cluster.example.com/app']) t.equal(read(url), url)
  for (const url of ['http://localhost/app', 'mongodb://', 'mongodb://localhost', 'mongodb://localhost/', 'mongodb://localhost/?replicaSet=rs', 'mongodb://localhost/a b', 'localhost/app']) {
    t.throws(() => read(url), { message: /MONGODB_URL: expected a URL that starts with mongodb/ }, url)
  }
})

t.test('what is wrong with MONGODB_URL is said without it', async t => {
  t.throws(() => loadConfig({ NODE_ENV: 'test', MONGODB_URL: 'mongodb://ada:hunter2@localhost' }), { message: /^(?!.*hunter2)/s })
  const config = await testConfig({ MONGODB_URL: 'mongodb://ada:hunter2@localhost/app?sesame=open' })
  await t.rejects(buildApp(t, config), { message: /^MONGODB_URL can't be used: Mongo\w+Error$/ })
})

t.test('MONGODB_URL may be in a file', async t => {
  const file = join(t.testdir(), 'url')
  writeFileSync(file, 'mongodb://localhost/app\n')
  t.equal(loadConfig({ NODE_ENV: 'test', MONGODB_URL_FILE: file }).MONGODB_URL, 'mongodb://localhost/app')
})

t.test('bad limits stop the start', async t => {
  for (const [name, value] of [['MONGODB_TIMEOUT', '5'], ['MONGODB_TIMEOUT', '0s'], ['MONGODB_POOL_MAX', '0'], ['MONGODB_POOL_MAX', 'many'], ['MONGODB_TRANSACTIONS', 'never']] as const) {
    t.throws(() => loadConfig({ NODE_ENV: 'test', [name]: value }), { message: new RegExp(name) }, `${name}=${value}`)
  }
})

t.test('where nobody listens, requests are refused at once, and the service is not ready', async t => {
  const { app, check } = await service(t, `mongodb://127.0.0.1:${await freePort()}/app`)
  const response = await app.inject({ url: '/reviews' })
  t.match(response.json(), { status: 503, code: 'UNAVAILABLE' })
  t.match(response.headers['retry-after'], /^\d+$/)
  t.match(await check(), { status: 'unavailable', detail: /ECONNREFUSED/ })
})

t.test('a server that comes later is found', async t => {
  const server = await standIn(t, { isStarted: false, answer: () => found() })
  const { status } = await service(t, server.url)
  await until(async () => await status() === 503)
  await server.start()
  t.equal(await until(async () => await status() === 200), true)
})

t.test('a server that dies and comes back is noticed both times, and logged once each', async t => {
  const server = await standIn(t, { answer: () => found() })
  const { app, lines } = await buildLogged(t, { MONGODB_URL: server.url, MONGODB_TIMEOUT: 1000 })
  const status = async () => (await app.inject({ url: RATING })).statusCode
  await until(async () => await status() === 200)
  await server.stop()
  await until(async () => await status() === 503)
  t.equal(await status(), 503)
  await server.start()
  await until(async () => await status() === 200)
  t.same(lines.map(({ msg }) => msg).filter(msg => /^MongoDB is (?:away|back)$/.test(msg)), ['MongoDB is away', 'MongoDB is back'])
})

t.test('a server that does not answer is given up', async t => {
  const { app } = await connected(t, { answer: ({ find }) => find === undefined ? undefined : 'silence' }, { MONGODB_TIMEOUT: 100 })
  const response = await app.inject({ url: RATING })
  t.match(response.json(), { status: 503, code: 'UNAVAILABLE' })
})

t.test('an operation says how long the server may take, and 503 says that it took longer', async t => {
  const { app, server } = await connected(t, { answer: () => failure(50) }, { MONGODB_TIMEOUT: 3000 })
  t.match((await app.inject({ url: RATING })).json(), { status: 503, code: 'UNAVAILABLE' })
  t.match(server.commands.find(({ find }) => find !== undefined), { find: 'ratings', maxTimeMS: 3000 })
})

t.test('a connection that breaks under a read is replaced, and the read is done again', async t => {
  let breaks = 1
  const { status, names } = await connected(t, { answer: ({ find }) => find !== undefined && breaks-- > 0 ? 'hang up' : found() })
  t.equal(await status(), 200)
  t.same(names(), ['find', 'find'])
})

t.test('a write that met a primary stepping down is done again, as the same write', async t => {
  let failures = 1
  const { app, server } = await connected(t, { answer: ({ insert }) => insert !== undefined && failures-- > 0 ? failure(10_107, ['RetryableWriteError']) : undefined })
  await app.mongodb.collection('things').insertOne({ n: 1 })
  const inserts = server.commands.filter(({ insert }) => insert === 'things')
  t.equal(inserts.length, 2)
  t.same(inserts[0]!.txnNumber, inserts[1]!.txnNumber)
  t.same(inserts[0]!.documents, inserts[1]!.documents)
})

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

t.test('a double is a conflict that does not tell what there is', async t => {
  const values = failure(11_000, [], { errmsg: 'E11000 duplicate key error collection: app.things dup key: { email: "ada@example.com" }', keyPattern: { email: 1 }, keyValue: { email: 'ada@example.com' } })
  const { app } = await connected(t, { answer: ({ insert }) => insert === undefined ? undefined : { ok: 1, n: 0, writeErrors: [{ index: 0, code: 11_000, errmsg: values.errmsg, keyPattern: values.keyPattern, keyValue: values.keyValue }] } })
  const things = new Repository<Kept>(app.mongodb, { name: 'things', validator: { $jsonSchema: {} }, indexes: [] })
  const error = await things.insert({}).catch(error => error)
  t.type(error, DuplicateError)
  t.match(app.problemOf(error), { status: 409, code: 'CONFLICT', detail: 'The resource exists already.' })
  t.notMatch(JSON.stringify(app.problemOf(error)), /ada/)
})

t.test('a document that MongoDB refuses is a fault of the service', async t => {
  const { app } = await connected(t, { answer: ({ insert }) => insert === undefined ? undefined : { ok: 1, n: 0, writeErrors: [{ index: 0, code: 121, errmsg: 'Document failed validation', errInfo: { secret: 'hush' } }] } })
  const things = new Repository<Kept>(app.mongodb, { name: 'things', validator: { $jsonSchema: {} }, indexes: [] })
  const problem = app.problemOf(await things.insert({}).catch(error => error))
  t.match(problem, { status: 500, code: 'INTERNAL_ERROR' })
  t.notMatch(JSON.stringify(problem), /hush|validation/)
})

t.test('refused credentials are 503, not a fault of who asks', async t => {
  const { app } = await connected(t, { answer: () => failure(18) })
  t.match((await app.inject({ url: RATING })).json(), { status: 503, code: 'UNAVAILABLE' })
})

t.test('the service is not ready without its collections, and says what to do', async t => {
  const { check } = await connected(t, { answer: () => found() })
  t.match(await check(), { status: 'unavailable', detail: /the collection reviews is missing.*npm run db:migrate/ })
})

t.test('requests that are under way have MongoDB until they end', async t => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { app, server } = await connected(t, { answer: async ({ find }) => { if (find !== undefined) await promise; return found() } })
  const { port } = await listening(app)
  const response = fetch(`http://127.0.0.1:${port}${RATING}`)
  await until(() => server.commands.some(({ find }) => find !== undefined))
  const closed = app.close()
  await sleep(50)
  resolve()
  t.equal((await response).status, 200)
  await closed
})

t.test('commands, connections and whether it is there can be watched', async t => {
  const { app, status } = await connected(t, { answer: () => found() })
  await status()
  const { text } = await app.metrics.scrape()
  t.match(text, /^mongodb_up 1$/m)
  t.match(text, /^mongodb_command_duration_seconds_count\{command="find",outcome="ok"\} 1$/m)
  t.match(text, /^mongodb_connections [1-9]/m)
  t.match(text, /^mongodb_connections_in_use 0$/m)
})

t.test('who follows changes is declared once and in time', async t => {
  const definition = { name: 'twice', collection: 'things', handler: async () => {} }
  const app = await buildApp(t, {}, fastify => {
    fastify.after(() => {
      fastify.mongodb.follow(definition)
      t.throws(() => fastify.mongodb.follow(definition), { message: /declared twice/ })
    })
  })
  t.throws(() => app.mongodb.follow({ ...definition, name: 'late' }), { message: /declared too late/ })
})

async function listening (app: Awaited<ReturnType<typeof buildApp>>): Promise<{ port: number }> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app.server.address() as { port: number }
}

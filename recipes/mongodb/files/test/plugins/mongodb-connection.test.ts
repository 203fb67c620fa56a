import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { withoutDatabase, type buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { connected, RATING, service } from '../helpers/mongodb-service.ts'
import { failure, found, standIn } from '../helpers/mongodb-stand-in.ts'
import { freePort } from '../helpers/process.ts'
import { until } from '../helpers/until.ts'

withoutDatabase()

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

async function listening (app: Awaited<ReturnType<typeof buildApp>>): Promise<{ port: number }> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app.server.address() as { port: number }
}

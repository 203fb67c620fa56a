import pg from 'pg'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { asAdmin, bearer, buildApp, newProduct, registered, testDatabase } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { createProxy } from '../helpers/proxy.ts'
import { withReservations } from '../helpers/reservations.ts'

/** A lock needs another session, and the embedded database has one. */
const skip = process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set'

/** Another session with a transaction of its own, until the test ends. */
async function otherSession (t: Test, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: await testDatabase() })
  await client.connect()
  t.teardown(() => client.end())
  await client.query('BEGIN')
  await client.query(sql)
}

async function setting (app: FastifyInstance, name: string): Promise<string | undefined> {
  const [row] = await app.prisma.$queryRawUnsafe<{ value: string }[]>(`SELECT current_setting('${name}') AS value`)
  return row?.value
}

t.test('what another session has locked is 503 CONTENTION, and others are answered meanwhile', { skip }, async (t) => {
  const app = await buildApp(t, { DATABASE_LOCK_TIMEOUT: 300, DATABASE_POOL_MAX: 3 }, withReservations)
  const { id, stock } = await newProduct(app)
  const admin = bearer((await asAdmin(app)).token)
  const headers = bearer((await registered(app)).token)
  await otherSession(t, `SELECT 1 FROM products WHERE id = '${id}' FOR UPDATE`)
  const waiting = [
    app.inject({ method: 'PATCH', url: `/products/${id}`, headers: { ...admin, 'if-match': '*' }, payload: { stock: 1 } }),
    app.inject({ method: 'DELETE', url: `/products/${id}`, headers: { ...admin, 'if-match': '*' } }),
    ...['a', 'b', 'c'].map(key => app.inject({ method: 'POST', url: '/reservations', headers: { ...headers, 'idempotency-key': key }, payload: { productId: id, quantity: 1 } }))
  ]
  t.equal((await app.inject(`/products/${id}`)).statusCode, 200, 'with more that wait than there are connections')
  for (const response of await Promise.all(waiting)) {
    t.equal(response.statusCode, 503)
    t.equal(response.json().code, 'CONTENTION')
    t.equal(response.headers['retry-after'], '1')
  }
  const done = [(await app.inject(`/products/${id}`)).json().stock, await app.prisma.event.count(), await app.prisma.idempotencyRecord.count()]
  t.same(done, [stock, 0, 0], 'and nothing was done')
})

t.test('a statement that takes too long is 503 UNAVAILABLE', { skip }, async (t) => {
  const app = await buildApp(t, { DATABASE_STATEMENT_TIMEOUT: 100 }, app => {
    app.get('/slow', { config: { public: true }, schema: { hide: true } }, async () => await app.prisma.$queryRaw`SELECT pg_sleep(60)::text`)
  })
  const response = await app.inject('/slow')
  t.equal(response.statusCode, 503)
  t.match(response.json(), { code: 'UNAVAILABLE', detail: 'The database did not do this in time.' })
})

t.test('every session has the limits', { skip }, async (t) => {
  const app = await buildApp(t)
  t.equal(await setting(app, 'lock_timeout'), '5s')
  t.equal(await setting(app, 'statement_timeout'), '15s')
  t.equal(await setting(app, 'idle_in_transaction_session_timeout'), '30s')
})

t.test('0s leaves a limit to the database; with all of them no start-up option is sent', { skip }, async (t) => {
  const app = await buildApp(t, { DATABASE_LOCK_TIMEOUT: 0, DATABASE_STATEMENT_TIMEOUT: 0, DATABASE_IDLE_TRANSACTION_TIMEOUT: 0 })
  for (const name of ['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout']) t.equal(await setting(app, name), '0', name)
})

t.test('what the URL says itself counts, and its schema is found', { skip }, async (t) => {
  const url = new URL(await testDatabase())
  url.searchParams.set('options', '-c lock_timeout=1234ms -c work_mem=8MB')
  url.searchParams.set('schema', 'public')
  const app = await buildApp(t, { DATABASE_URL: url.href })
  t.equal(await setting(app, 'lock_timeout'), '1234ms')
  t.equal(await setting(app, 'work_mem'), '8MB')
  t.equal(await setting(app, 'statement_timeout'), '15s')
  t.equal(await setting(app, 'search_path'), 'public')
  t.equal((await app.inject('/products')).statusCode, 200)
})

t.test('whatever the operating system says of a connection, it is 503 UNAVAILABLE', { skip }, async (t) => {
  const url = new URL(await testDatabase())
  // ENOENT, which the adapter does not know.
  url.searchParams.set('host', '/nowhere')
  const app = await buildApp(t, { DATABASE_URL: url.href }, app => {
    app.get('/transaction', { config: { public: true }, schema: { hide: true } }, async () => await app.prisma.$transaction(async tx => await tx.$queryRaw`SELECT 1`))
  })
  for (const path of ['/products', '/transaction']) {
    const response = await app.inject(path)
    t.equal(response.statusCode, 503, path)
    t.match(response.json(), { code: 'UNAVAILABLE', detail: 'The database cannot be reached.' })
  }
})

t.test('connections that die without a word are given up, and the service goes on by others', { skip }, async (t) => {
  const proxy = await createProxy(t, await testDatabase())
  await proxy.open()
  const app = await buildApp(t, { DATABASE_URL: proxy.url, DATABASE_STATEMENT_TIMEOUT: 500, DATABASE_POOL_MAX: 4 })
  const select = async () => await app.prisma.$queryRaw`SELECT 1`
  const transaction = async () => await app.prisma.$transaction(async tx => await tx.$queryRaw`SELECT 1`, { timeout: 60_000 })
  await Promise.all([select(), select(), transaction(), transaction()])

  proxy.silence()
  const results = await Promise.allSettled([select(), select(), transaction(), transaction()])
  t.ok(results.every(({ status }) => status === 'rejected'))
  t.same(await Promise.all([select(), transaction(), select(), transaction()]), Array(4).fill([{ '?column?': 1 }]))
  t.equal((await app.inject('/products')).statusCode, 200)
})

t.test('the service ends though its connections are dead', { skip }, async (t) => {
  const proxy = await createProxy(t, await testDatabase())
  await proxy.open()
  const { app, lines } = await buildLogged(t, { DATABASE_URL: proxy.url })
  await app.prisma.$queryRaw`SELECT 1`
  proxy.silence()
  const under = app.prisma.$queryRaw`SELECT 1`.catch(() => 'given up')
  await app.close()
  t.ok(lines.some(({ msg }) => /the connections to the database did not close/.test(String(msg))))
  proxy.cut()
  await under
})

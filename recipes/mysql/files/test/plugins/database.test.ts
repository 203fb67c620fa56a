import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { asAdmin, bearer, buildApp, newProduct, registered, testDatabase } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { freePort } from '../helpers/process.ts'
import { createProxy } from '../helpers/proxy.ts'
import { withReservations } from '../helpers/reservations.ts'
import { otherSession } from '../prisma/project.ts'

async function setting (app: FastifyInstance, name: string): Promise<unknown> {
  const [row] = await app.prisma.$queryRawUnsafe<{ value: unknown }[]>(`SELECT @@SESSION.${name} AS value`)
  return row?.value
}

t.test('what another session has locked is 503 CONTENTION, and others are answered meanwhile', async (t) => {
  const app = await buildApp(t, { DATABASE_LOCK_TIMEOUT: 1_000, DATABASE_POOL_MAX: 3 }, withReservations)
  const { id, stock } = await newProduct(app)
  const admin = bearer((await asAdmin(app)).token)
  const headers = bearer((await registered(app)).token)
  await otherSession(t, await testDatabase(), `SELECT 1 FROM products WHERE id = '${id}' FOR UPDATE`)
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

t.test('a statement that takes too long is 503 UNAVAILABLE', async (t) => {
  const app = await buildApp(t, { DATABASE_STATEMENT_TIMEOUT: 100 }, app => {
    app.get('/slow', { config: { public: true }, schema: { hide: true } }, async () => await app.prisma.$queryRaw`SELECT COUNT(*) FROM information_schema.columns AS a, information_schema.columns AS b WHERE SLEEP(1) = 0`)
  })
  const response = await app.inject('/slow')
  t.equal(response.statusCode, 503)
  t.match(response.json(), { code: 'UNAVAILABLE', detail: 'The database did not do this in time.' })
})

t.test('every session has the limits, and is what the SQL is written for', async (t) => {
  const app = await buildApp(t)
  t.equal(Number(await setting(app, 'innodb_lock_wait_timeout')), 5)
  t.equal(Number(await setting(app, 'max_statement_time')), 15)
  t.equal(Number(await setting(app, 'idle_transaction_timeout')), 30)
  t.equal(await setting(app, 'tx_isolation'), 'READ-COMMITTED')
  t.equal(await setting(app, 'time_zone'), '+00:00')
  t.match(await setting(app, 'sql_mode'), /ANSI_QUOTES.*STRICT_TRANS_TABLES/)
})

t.test('0s leaves a limit to the database', async (t) => {
  const app = await buildApp(t, { DATABASE_LOCK_TIMEOUT: 0, DATABASE_STATEMENT_TIMEOUT: 0, DATABASE_IDLE_TRANSACTION_TIMEOUT: 0 })
  for (const name of ['innodb_lock_wait_timeout', 'max_statement_time', 'idle_transaction_timeout']) {
    const [row] = await app.prisma.$queryRawUnsafe<{ same: unknown }[]>(`SELECT @@SESSION.${name} = @@GLOBAL.${name} AS same`)
    t.equal(Number(row?.same), 1, name)
  }
})

t.test('a server where nothing listens is 503 at once', async (t) => {
  const app = await buildApp(t, { DATABASE_URL: `mysql://root@127.0.0.1:${await freePort()}/none` })
  const began = performance.now()
  const responses = await Promise.all(Array.from({ length: 5 }, () => app.inject('/products')))
  t.same(responses.map(response => [response.statusCode, response.json().code]), Array(5).fill([503, 'UNAVAILABLE']))
  t.ok(performance.now() - began < 14_000, 'nobody waits for the time-out of the pool')
})

t.test('a connection that breaks while its session is made is 503, and fails nothing else', async (t) => {
  const url = new URL(await testDatabase())
  const target = { host: url.hostname, port: Number(url.port || 3306) }
  const server = createServer(socket => {
    const other = connect(target)
    socket.on('error', () => {}).on('close', () => other.destroy())
    socket.on('data', chunk => chunk.includes('SET SESSION') ? socket.destroy() : other.write(chunk))
    other.on('error', () => {}).pipe(socket)
  })
  url.host = `127.0.0.1:${await freePort()}`
  await new Promise<void>(resolve => server.listen(Number(url.port), '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const app = await buildApp(t, { DATABASE_URL: url.href })
  t.match((await app.inject('/products')).json(), { status: 503, code: 'UNAVAILABLE' })
})

t.test('wherever in a transaction its connection breaks, it is 503', async (t) => {
  const proxy = await createProxy(t, await testDatabase())
  await proxy.open()
  const app = await buildApp(t, { DATABASE_URL: proxy.url }, app => {
    app.get('/transaction', { config: { public: true }, schema: { hide: true } }, async () => await app.prisma.$transaction(async tx => {
      for (;;) await tx.$queryRaw`SELECT 1`
    }, { timeout: 60_000 }))
  })
  // By chance it is read from or written to, alive for the driver or not: often enough that each is met.
  for (let round = 0; round < 40; round++) {
    const answers = Array.from({ length: 10 }, () => app.inject('/transaction'))
    await sleep(50)
    await proxy.cut()
    t.same(new Set((await Promise.all(answers)).map(response => response.json().code)), new Set(['UNAVAILABLE']))
    await proxy.open()
  }
})

t.test('connections that die without a word are given up, and the service goes on by others', async (t) => {
  const proxy = await createProxy(t, await testDatabase())
  await proxy.open()
  const app = await buildApp(t, { DATABASE_URL: proxy.url, DATABASE_STATEMENT_TIMEOUT: 500, DATABASE_LOCK_TIMEOUT: 500, DATABASE_POOL_MAX: 4 })
  const select = async () => await app.prisma.$queryRaw`SELECT 1 AS one`
  const transaction = async () => await app.prisma.$transaction(async tx => await tx.$queryRaw`SELECT 1 AS one`, { timeout: 60_000 })
  await Promise.all([select(), select(), transaction(), transaction()])

  proxy.silence()
  const results = await Promise.allSettled([select(), select(), transaction(), transaction()])
  t.ok(results.every(({ status }) => status === 'rejected'))
  const answers = await Promise.all([select(), transaction(), select(), transaction()]) as { one: unknown }[][]
  t.same(answers.map(([row]) => Number(row?.one)), [1, 1, 1, 1])
  t.equal((await app.inject('/products')).statusCode, 200)
})

t.test('the service ends though its connections are dead', async (t) => {
  const proxy = await createProxy(t, await testDatabase())
  await proxy.open()
  const { app, lines } = await buildLogged(t, { DATABASE_URL: proxy.url })
  await app.prisma.$queryRaw`SELECT 1`
  proxy.silence()
  const under = app.prisma.$queryRaw`SELECT 1`.catch(() => 'given up')
  await app.close()
  t.match(lines, [{ msg: /the connections to the database did not close/ }])
  proxy.cut()
  await under
})

// What is different from PostgreSQL where one might not look for it.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { inTransaction } from '../../services/database.ts'
import { tryLock } from '../../services/dialect.ts'
import { recordEvent } from '../../services/events.ts'
import { asAdmin, bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { waitingForLocks } from './project.ts'
import { until } from '../helpers/until.ts'

const app = await buildApp(t)
const { prisma } = app
const product = (rest: object = {}) => ({ sku: randomUUID(), name: 'Lamp', description: '', priceAmount: 1, priceCurrency: 'EUR', stock: 1, ...rest })

t.test('case counts in what is unique, and not in an e-mail address', async t => {
  await newProduct(app, { sku: 'case-1' })
  t.equal((await newProduct(app, { sku: 'CASE-1' })).sku, 'CASE-1')
  t.equal((await newProduct(app, { sku: 'CASE-1' })).code, 'SKU_TAKEN')
  const account = { password: 'correct horse battery', name: 'Ada' }
  t.equal((await app.inject({ method: 'POST', url: '/auth/register', payload: { ...account, email: 'Ada@Example.com' } })).statusCode, 201)
  t.equal((await app.inject({ method: 'POST', url: '/auth/register', payload: { ...account, email: 'ADA@example.COM' } })).json().code, 'EMAIL_TAKEN')
})

t.test('names that differ in case or accents alone are all in a list that is walked, in the order of their code points', async t => {
  const names = ['ä', 'A', 'a', 'Á', 'z', 'Z', '😀', 'é', 'e']
  for (const name of names) await prisma.product.create({ data: product({ name, description: 'accents' }) })
  const found: string[] = []
  for (let cursor = ''; cursor !== 'null';) {
    const { items, nextCursor } = (await app.inject(`/products?q=accents&sort=name&limit=2${cursor && `&cursor=${cursor}`}`)).json()
    found.push(...items.map(({ name }: { name: string }) => name))
    cursor = String(nextCursor)
  }
  t.same(found, names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
})

t.test('times come back as they were, to the millisecond, whatever the server\'s time zone', async t => {
  const createdAt = new Date('2026-03-29T01:30:00.123Z')
  const { id } = await prisma.product.create({ data: product({ createdAt }) })
  t.equal((await app.inject(`/products/${id}`)).json().createdAt, '2026-03-29T01:30:00.123Z')
  const [row] = await prisma.$queryRaw<{ text: string, now: Date }[]>`SELECT CAST(created_at AS CHAR) AS text, NOW(3) AS now FROM products WHERE id = ${id}`
  t.equal(row?.text, '2026-03-29 01:30:00.123')
  t.ok(Math.abs(row!.now.getTime() - Date.now()) < 60_000, 'and the server counts in UTC')
})

t.test('an id is found in upper case, too', async t => {
  const { id } = await newProduct(app)
  t.equal((await app.inject(`/products/${id.toUpperCase()}`)).statusCode, 200)
})

t.test('amounts are whole numbers, as large as they may be', async t => {
  const { token, id: userId } = await registered(app)
  const { id: productId, sku } = await newProduct(app)
  const items = { create: [{ position: 0, productId, sku, name: 'Lamp', quantity: 1, unitPriceAmount: 1 }] }
  const order = await prisma.order.create({ data: { userId, currency: 'EUR', totalAmount: BigInt(Number.MAX_SAFE_INTEGER), items } })
  t.equal((await app.inject({ url: `/orders/${order.id}`, headers: bearer(token) })).json().total.amount, Number.MAX_SAFE_INTEGER)
  t.equal((await app.inject({ url: '/orders', headers: bearer(token) })).json().items[0].total.amount, Number.MAX_SAFE_INTEGER)
})

t.test('JSON comes back as it was: nested, with quotes, backslashes and what is outside the BMP', async t => {
  const data = { text: '"\\\' 😀 é \u2028', n: 1.5, list: [null, true, { a: [] }] }
  await inTransaction(prisma, tx => recordEvent(tx, { type: 'json.kept', subject: 'x', data }))
  t.match(await prisma.event.findFirst({ where: { type: 'json.kept' } }), { data })
})

t.test('a statement behind a lock sees what was committed meanwhile', async t => {
  const { id } = await newProduct(app, { stock: 5 })
  const [read, changed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const seen = prisma.$transaction(async tx => {
    const before = (await tx.product.findUniqueOrThrow({ where: { id } })).stock
    read.resolve()
    await changed.promise
    const [locked] = await tx.$queryRaw<{ stock: number }[]>`SELECT stock FROM products WHERE id = ${id} FOR UPDATE`
    return [before, locked?.stock, (await tx.product.findUniqueOrThrow({ where: { id } })).stock]
  })
  await read.promise
  await prisma.product.update({ where: { id }, data: { stock: 3 } })
  changed.resolve()
  t.same(await seen, [5, 3, 3])
})

t.test('a change that changes nothing finds its row all the same', async t => {
  const { id } = await newProduct(app)
  t.same(await prisma.product.updateMany({ where: { id }, data: { name: 'Lamp' } }), { count: 1 })
})

t.test('of two who change the same version one succeeds', async t => {
  const { id, etag } = await newProduct(app)
  const { token } = await asAdmin(app)
  const statuses = await Promise.all(Array.from({ length: 6 }, async (_, stock) => (await app.inject({ method: 'PATCH', url: `/products/${id}`, headers: { ...bearer(token), 'if-match': etag }, payload: { stock } })).statusCode))
  t.same(statuses.sort(), [200, 412, 412, 412, 412, 412])
})

t.test('the events of one transaction are placed in the order in which they were recorded', async t => {
  await inTransaction(prisma, async tx => {
    for (let n = 0; n < 50; n++) await recordEvent(tx, { type: 'order.kept', subject: 'x', data: { n } })
  })
  const events = await prisma.event.findMany({ where: { type: 'order.kept' }, orderBy: { position: 'asc' } })
  t.same(events.map(({ data }) => (data as { n: number }).n), Array.from({ length: 50 }, (_, n) => n))
  await prisma.event.createMany({ data: [1, 2, 3].map(n => ({ type: 'alone.kept', subject: 'x', data: { n } })) })
  t.ok((await prisma.event.findMany({ where: { type: 'alone.kept' } })).every(({ position }) => position !== null), 'also those of a statement by itself')
})

t.test('a lock by name ends with its transaction, however that ends, and its connection keeps no limit', async t => {
  const one = await buildApp(t, { DATABASE_POOL_MAX: 1 })
  for (const end of [async () => {}, async () => { throw new Error('no') }]) {
    await one.prisma.$transaction(async tx => {
      t.equal(await tryLock(tx, 'a'), true)
      t.equal(await prisma.$transaction(other => tryLock(other, 'a')), false)
      await end()
    }).catch(() => {})
    t.equal(await prisma.$transaction(other => tryLock(other, 'a')), true)
  }
  const limits = async () => await one.prisma.$queryRawUnsafe('SELECT @@innodb_lock_wait_timeout, @@max_statement_time')
  const before = await limits()
  await inTransaction(one.prisma, async tx => {
    t.notSame(await tx.$queryRawUnsafe('SELECT @@innodb_lock_wait_timeout, @@max_statement_time'), before)
  }, { signal: new AbortController().signal, remainingMs: () => 1_500 })
  t.same(await limits(), before)
})

t.test('a deadlock is resolved by trying again', async t => {
  const [a, b] = [await newProduct(app), await newProduct(app)]
  const move = async (first: string, second: string) => await inTransaction(prisma, async tx => {
    for (const id of [first, second]) await tx.product.update({ where: { id }, data: { stock: { increment: 1 } } })
  })
  await Promise.all(Array.from({ length: 8 }, (_, n) => n % 2 ? move(a.id, b.id) : move(b.id, a.id)))
  t.same((await prisma.product.findMany({ where: { id: { in: [a.id, b.id] } } })).map(({ stock }) => stock), [18, 18])
})

t.test('what waits for a lock ends by the deadline of its request', async t => {
  const { id } = await newProduct(app)
  const { token } = await registered(app)
  const [held, done] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const holder = prisma.$transaction(async tx => {
    await tx.$queryRaw`SELECT 1 FROM products WHERE id = ${id} FOR UPDATE`
    held.resolve()
    await done.promise
  }, { timeout: 60_000 })
  await held.promise
  const response = await app.inject({ method: 'POST', url: '/orders', headers: { ...bearer(token), 'x-request-timeout-ms': '500' }, payload: { items: [{ productId: id, quantity: 1 }] } })
  t.equal(response.statusCode, 503)
  await until(async () => await waitingForLocks(app.databaseUrl) === 0)
  done.resolve()
  await holder
})

t.test('a statement that is larger than the server takes is an error of its own, and the service goes on', async t => {
  const [row] = await prisma.$queryRaw<{ most: bigint }[]>`SELECT @@max_allowed_packet AS most`
  const most = Number(row!.most)
  await t.rejects(prisma.event.create({ data: { type: 'too.large', subject: 'x', data: { text: 'x'.repeat(most) } } }))
  t.equal((await app.inject('/products')).statusCode, 200)
  await prisma.event.create({ data: { type: 'large.kept', subject: 'x', data: { text: 'x'.repeat(10 * 1024 * 1024) } } })
  t.equal((await prisma.event.findFirstOrThrow({ where: { type: 'large.kept' }, select: { data: true } }) as { data: { text: string } }).data.text.length, 10 * 1024 * 1024)
})

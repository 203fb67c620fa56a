import { randomUUID } from 'node:crypto'
import t from 'tap'
import { inTransaction } from '../../services/database.ts'
import { forgetMessages } from '../../services/inbox.ts'
import { restock } from '../../services/restock.ts'
import { buildApp, newProduct } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'

const app = await buildApp(t, { ROLE: 'all', INBOX_RETENTION: 86_400_000 })
const { prisma } = app
const at = (days: number) => new Date(Date.now() + days * 86_400_000)
const row = (handledAt: Date) => ({ consumer: 'test', source: '/s', id: randomUUID(), handledAt })

t.test('what was handled long ago is forgotten, in batches, and no more than that', async t => {
  await prisma.handledMessage.createMany({ data: [...Array.from({ length: 2_500 }, () => row(at(-2))), row(at(0))] })
  await t.rejects(forgetMessages(prisma, at(-1), AbortSignal.abort(new Error('shutdown'))), /shutdown/)
  t.equal(await forgetMessages(prisma, at(-1), new AbortController().signal), 2_500)
  t.equal(await prisma.handledMessage.count(), 1)
  t.equal(await forgetMessages(prisma, at(-1), new AbortController().signal), 0)
})

t.test('a job does it', async t => {
  const { id } = await prisma.handledMessage.create({ data: row(at(-2)) })
  await app.jobs.send('forget-messages', {})
  await until(async () => await prisma.handledMessage.count({ where: { id } }) === 0)
  t.equal(await prisma.handledMessage.count(), 1)
})

t.test('restocking adds to the stock, of a product that there is', async t => {
  const { id, sku } = await newProduct(app, { stock: 3 })
  await inTransaction(prisma, tx => restock(tx, { sku, quantity: 4 }))
  t.match(await prisma.product.findUnique({ where: { id } }), { stock: 7, version: 2 })
  await t.rejects(inTransaction(prisma, tx => restock(tx, { sku: 'none', quantity: 1 })), { code: 'NOT_FOUND' })
})

import t from 'tap'
import { inTransaction, type Database } from '../../services/database.ts'
import { buildApp } from '../helpers/app.ts'

const app = await buildApp(t)

const raise = (tx: Database, state: string) => tx.$executeRawUnsafe(`DO $$ BEGIN RAISE EXCEPTION 'given up' USING ERRCODE = '${state}'; END $$`)
const product = (sku: string) => ({ sku, name: 'Thing', description: '', priceAmount: 1, priceCurrency: 'EUR', stock: 1 })

t.test('what the database gave up because of others runs again', async (t) => {
  for (const state of ['40001', '40P01']) {
    let attempts = 0
    const result = await inTransaction(app.prisma, async tx => {
      await tx.product.create({ data: product(`again-${state}`) })
      if (++attempts < 3) await raise(tx, state)
      return 'done'
    })
    t.equal(result, 'done')
    t.equal(attempts, 3)
    t.equal(await app.prisma.product.count({ where: { sku: `again-${state}` } }), 1)
  }
})

t.test('it does not run for ever', async (t) => {
  let attempts = 0
  await t.rejects(inTransaction(app.prisma, async tx => {
    attempts++
    await raise(tx, '40001')
  }))
  t.equal(attempts, 8)
})

t.test('another failure is not tried again, and nothing of it stays', async (t) => {
  let attempts = 0
  await t.rejects(inTransaction(app.prisma, async tx => {
    attempts++
    await tx.product.create({ data: product('never') })
    throw new Error('no')
  }), { message: 'no' })
  t.equal(attempts, 1)
  t.equal(await app.prisma.product.count({ where: { sku: 'never' } }), 0)
})

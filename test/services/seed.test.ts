import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { seed } from '../../prisma/seed.ts'
import { buildApp, testDatabase } from '../helpers/app.ts'

const app = await buildApp(t)
const options = { adminEmail: 'Root@Example.com', adminPassword: 'keel-development' }
const signIn = (password: string) => app.inject({ method: 'POST', url: '/auth/login', payload: { email: 'root@example.com', password } })

t.test('without an e-mail address and a password there is no admin', async (t) => {
  t.same(await seed(app.prisma, {}), { products: 24, admin: 'skipped' })
  t.equal(await app.prisma.user.count(), 0)
})

t.test('the products that are missing are added', async (t) => {
  await app.prisma.product.delete({ where: { sku: 'KB-TKL-87' } })
  t.match(await seed(app.prisma, {}), { products: 1 })
  t.equal(await app.prisma.product.count(), 24)
})

t.test('the admin can sign in', async (t) => {
  t.same(await seed(app.prisma, options), { products: 0, admin: 'created' })
  t.equal((await signIn(options.adminPassword)).statusCode, 200)
  t.equal((await app.prisma.user.findUniqueOrThrow({ where: { email: 'root@example.com' } })).role, 'admin')
})

t.test('what was changed stays changed', async (t) => {
  await app.prisma.product.update({ where: { sku: 'MS-VRT-01' }, data: { priceAmount: 1, stock: 0 } })
  t.same(await seed(app.prisma, { ...options, adminPassword: 'another password' }), { products: 0, admin: 'present' })
  t.match(await app.prisma.product.findUnique({ where: { sku: 'MS-VRT-01' } }), { priceAmount: 1, stock: 0 })
  t.equal((await signIn(options.adminPassword)).statusCode, 200)
})

t.test('each product has a price in euro, a stock and a text', async (t) => {
  for (const { priceAmount, priceCurrency, stock, description } of await app.prisma.product.findMany({ where: { sku: { not: 'MS-VRT-01' } } })) {
    t.equal(priceCurrency, 'EUR')
    t.ok(priceAmount > 0 && stock > 0 && description.length > 10)
  }
})

t.test('the command seeds the configured database and says what it did', async (t) => {
  await app.prisma.product.delete({ where: { sku: 'KB-TKL-87' } })
  const { stdout } = await command({ DATABASE_URL: await testDatabase(), ADMIN_EMAIL: 'other@example.com' })
  t.equal(stdout, 'Seed: 1 products added, admin other@example.com created.\n')
  t.equal(await app.prisma.product.count(), 24)
  const again = await command({ DATABASE_URL: await testDatabase(), ADMIN_EMAIL: 'other@example.com' })
  t.equal(again.stdout, 'Seed: 0 products added, other@example.com is there already.\n')
})

t.test('the command says in a line what is wrong with the configuration', async (t) => {
  await t.rejects(command({ PORT: 'abc' }), { code: 1, stderr: /^The configuration has a problem:\n {2}- PORT: .*\n+$/ })
})

function command (env: Record<string, string>) {
  return promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../prisma/seed.ts')], { env: { ...process.env, ...env } })
}

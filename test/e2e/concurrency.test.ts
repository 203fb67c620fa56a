// Two processes of the service on one PostgreSQL: what is promised of one holds for both.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { signUp } from '../helpers/accounts.ts'
import { call, copyOfCheckout, startService, type Service } from '../helpers/process.ts'
import { plainDatabase } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''

t.test('two processes on one database', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async (t) => {
  const DATABASE_URL = await plainDatabase(t, server)
  const folder = copyOfCheckout(t)
  const env = { DATABASE_URL }
  // The first migrates and seeds; the second finds it done.
  const first = await startService(t, folder, env)
  const services = [first, await startService(t, folder, env)]
  const { token: admin } = await signUp(first, 'admin')
  const { token } = await signUp(first)

  const newProduct = async (stock: number): Promise<string> => {
    const body = { sku: `SKU-${randomUUID()}`, name: 'Lamp', description: '', price: { amount: 1999, currency: 'EUR' }, stock }
    return (await call(`${first.url}/products`, { token: admin, body })).body.id
  }
  /** Sends `count` orders of one piece at once, each process half of them. */
  const orderAtOnce = async (count: number, productId: string, headers: Record<string, string> = {}) =>
    await Promise.all(Array.from({ length: count }, (_, index) => order(services[index % services.length] as Service, productId, headers)))
  const order = ({ url }: Service, productId: string, headers: Record<string, string>) =>
    call(`${url}/orders`, { token, headers, body: { items: [{ productId, quantity: 1 }] } })
  const stockOf = async (id: string) => (await call(`${first.url}/products/${id}`)).body.stock

  await t.test('never sell more than there is', async (t) => {
    const id = await newProduct(20)
    const answers = await orderAtOnce(200, id)
    t.same(counted(answers.map(({ status }) => status)), { 201: 20, 409: 180 })
    t.same(counted(answers.filter(({ status }) => status === 409).map(({ body }) => body.code)), { OUT_OF_STOCK: 180 })
    t.equal(await stockOf(id), 0)
  })

  await t.test('carry out a request with an Idempotency-Key once', async (t) => {
    const id = await newProduct(100)
    const answers = await orderAtOnce(50, id, { 'idempotency-key': randomUUID() })
    const [placed, refused] = [answers.filter(({ status }) => status === 201), answers.filter(({ status }) => status !== 201)]
    t.ok(placed.length > 0)
    t.equal(new Set(placed.map(({ body }) => JSON.stringify(body))).size, 1, 'all have the same answer')
    for (const { status, body } of refused) t.match({ status, code: body.code }, { status: 409, code: 'IDEMPOTENCY_IN_FLIGHT' })
    t.equal(await stockOf(id), 99)
    t.equal((await call(`${first.url}/orders?limit=100`, { token })).body.items.filter((order: Order) => order.items[0]?.productId === id).length, 1)
  })

  for (const service of services) t.equal((await service.stop()).code, 0)
})

interface Order { items: { productId: string }[] }

/** How often each value is there. */
function counted (values: (string | number)[]): Record<string, number> {
  return Object.fromEntries(Object.entries(Object.groupBy(values, String)).map(([value, same]) => [value, same?.length ?? 0]))
}

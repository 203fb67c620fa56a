import { randomUUID } from 'node:crypto'
import t from 'tap'
import { DomainError } from '../../services/errors.ts'
import { type inTransaction } from '../../services/database.ts'
import { once } from '../../services/idempotency.ts'
import { placeOrder } from '../../services/orders.ts'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { problemsOf } from '../helpers/config.ts'
import { storedJobs } from '../helpers/jobs.ts'
import { until } from '../helpers/until.ts'

const app = await buildApp(t)
const user = await registered(app)
const product = await newProduct(app, { stock: 1_000_000 })
const items = [{ productId: product.id, quantity: 1 }]
const order = async (headers = {}) => (await app.inject({ method: 'POST', url: '/orders', headers: { ...bearer(user.token), ...headers }, payload: { items } })).json()
const jobsOf = async (queue: string, orderId: string) => (await storedJobs(app, queue)).filter(({ payload }) => (payload as { orderId: string }).orderId === orderId)
const stockOf = async (id: string) => (await app.inject(`/products/${id}`)).json().stock as number

t.test('an order has one job that confirms it and one that cancels it when it stays unpaid', async (t) => {
  const { id } = await order()
  for (const queue of ['confirm-order', 'expire-order']) t.equal((await jobsOf(queue, id)).length, 1, queue)
})

t.test('ORDER_TTL is a second to a year, with its unit', async (t) => {
  for (const ORDER_TTL of ['30', '500ms', '400d']) t.match(problemsOf({ ORDER_TTL }), [/^ORDER_TTL: /], ORDER_TTL)
  t.same(problemsOf({ ORDER_TTL: '30m' }), [])
})

t.test('they carry the trace of the request that sent them, unless that is malformed', async (t) => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const traceOf = async (given: string) => {
    const { id } = await order({ traceparent: given })
    return (await jobsOf('confirm-order', id)).map(({ traceparent }) => traceparent)
  }
  t.same(await traceOf(traceparent), [traceparent])
  t.same(await traceOf(traceparent.replace('00-', 'ff-')), [null])
})

t.test('an order that is replayed has no further jobs', async (t) => {
  const headers = { 'idempotency-key': randomUUID() }
  const { id } = await order(headers)
  t.equal((await order(headers)).id, id)
  for (const queue of ['confirm-order', 'expire-order']) t.equal((await jobsOf(queue, id)).length, 1, queue)
})

// As many as a run of all tests has time for: RANDOM_ORDERS=1000 is what was promised.
const RUNS = Number(process.env.RANDOM_ORDERS ?? 200)

t.test(`of ${RUNS} orders with failures anywhere, those that exist have exactly one job of each kind and one event, the others none`, { timeout: 240_000 }, async (t) => {
  const before = new Set((await app.prisma.order.findMany({ select: { id: true } })).map(({ id }) => id))
  const jobs = await app.jobs.for({ id: 'random-runs', headers: {} } as never)
  const attempted: string[] = []
  const run = async (n: number) => {
    const kind = n % 5
    const failing = { send: async (...args: Parameters<typeof jobs.send>) => { if (kind === 1 && args[0] === 'expire-order') throw new Error('injected'); return await jobs.send(...args) } }
    // 0 is well; 1 fails between the jobs; 2 after them; 3 in the database; 4 by a rule of the domain.
    const work = async (tx: Parameters<Parameters<typeof inTransaction>[1]>[0]) => {
      const amounts = kind === 4 ? [{ productId: product.id, quantity: 999_999_999 }] : items
      const placed = await placeOrder(tx, user.id, { items: amounts }, { jobs: failing, ttl: 60_000 })
      attempted.push(placed.id)
      if (kind === 2 && Math.random() < 0.9) throw new DomainError('INVALID_STATE', 'injected')
      if (kind === 3) await tx.$executeRaw`SELECT 1 / 0`
      return placed
    }
    const key = Math.random() < 0.5 ? undefined : { userId: user.id, operation: 'test', key: randomUUID(), input: n, ttl: 60_000 }
    await once(app.prisma, key, work).catch(() => {})
  }
  for (let n = 0; n < RUNS; n += 8) await Promise.all(Array.from({ length: 8 }, (_, offset) => run(n + offset)))

  const exist = (await app.prisma.order.findMany({ select: { id: true } })).map(({ id }) => id).filter(id => !before.has(id))
  t.ok(exist.length >= RUNS / 5 && exist.length < RUNS / 2 && attempted.length > exist.length, `${exist.length} of ${attempted.length} were committed`)
  for (const queue of ['confirm-order', 'expire-order']) {
    const ids = (await storedJobs(app, queue)).map(({ payload }) => (payload as { orderId: string }).orderId).filter(id => !before.has(id))
    t.same(ids.toSorted(), exist.toSorted(), queue)
  }
  const events = (await app.prisma.event.findMany({ select: { type: true, subject: true } })).filter(({ subject }) => !before.has(subject))
  t.same(events.map(({ type, subject }) => `${type} ${subject}`).toSorted(), exist.map(id => `order.created ${id}`).toSorted(), 'events')
})

t.test('with a worker', async (t) => {
  const worker = await buildApp(t, { ROLE: 'all', ORDER_TTL: 2000 })
  const place = async (productId: string, quantity: number) => (await worker.inject({ method: 'POST', url: '/orders', headers: bearer(user.token), payload: { items: [{ productId, quantity }] } })).json().id as string
  const step = async (id: string, name: string) => (await worker.inject({ method: 'POST', url: `/orders/${id}/${name}`, headers: bearer(user.token) })).statusCode
  const statusOf = async (id: string) => (await worker.inject({ url: `/orders/${id}`, headers: bearer(user.token) })).json().status
  const done = async (queue: string, id: string) => await until(async () => (await jobsOf(queue, id))[0]?.state === 'completed')

  await t.test('an order that stays unpaid for ORDER_TTL is cancelled, and its products are back in stock', async (t) => {
    const { id: productId } = await newProduct(app, { stock: 10 })
    const orders = [await place(productId, 2), await place(productId, 3)]
    t.equal(await stockOf(productId), 5)
    for (const id of orders) await until(async () => await statusOf(id) === 'cancelled')
    t.equal(await stockOf(productId), 10)
  })

  await t.test('one that is paid, or cancelled by its owner, is left alone', async (t) => {
    const { id: productId } = await newProduct(app, { stock: 10 })
    const [paid, cancelled] = [await place(productId, 2), await place(productId, 3)]
    t.same([await step(paid, 'pay'), await step(cancelled, 'cancel')], [200, 200])
    for (const id of [paid, cancelled]) await done('expire-order', id)
    t.same([await statusOf(paid), await statusOf(cancelled)], ['paid', 'cancelled'])
    t.equal(await stockOf(productId), 8, 'nothing comes back twice')
  })

  await t.test('without SMTP_URL the confirmation is kept where it can be read', async (t) => {
    const { id } = (await app.inject({ method: 'POST', url: '/orders', headers: bearer(user.token), payload: { items: [{ productId: product.id, quantity: 2 }] } })).json()
    await done('confirm-order', id)
    const [job] = await jobsOf('confirm-order', id)
    const mail = await worker.prisma.mail.findUnique({ where: { id: job?.id } })
    t.match(mail, { recipient: user.email, subject: `Your order ${id}`, sentAt: null })
    t.match(mail?.text, /Hello Test,[^]*2 x Lamp \(SKU-.*\), EUR\s19\.99 each[^]*Total: EUR\s39\.98/)
  })

  await t.test('a confirmation of an order that is gone is none', async (t) => {
    const id = await app.jobs.send('confirm-order', { orderId: randomUUID() })
    await until(async () => (await storedJobs(app, 'confirm-order')).some(job => job.id === id && job.state === 'completed'))
    t.equal(await worker.prisma.mail.findUnique({ where: { id: id ?? '' } }), null)
  })

  await t.test('one that is cancelled by then is not confirmed', async (t) => {
    const orderId = await place(product.id, 1)
    t.equal(await step(orderId, 'cancel'), 200)
    const id = await app.jobs.send('confirm-order', { orderId })
    await until(async () => (await storedJobs(app, 'confirm-order')).some(job => job.id === id && job.state === 'completed'))
    t.equal(await worker.prisma.mail.findUnique({ where: { id: id ?? '' } }), null)
  })
})

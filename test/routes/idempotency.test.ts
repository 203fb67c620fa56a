import t from 'tap'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const user = await registered(app)
const product = await newProduct(app, { stock: 100 })
const stock = async () => (await app.inject(`/products/${product.id}`)).json().stock as number
const order = (key: string, quantity = 1, token = user.token) => app.inject({
  method: 'POST',
  url: '/orders',
  headers: { ...bearer(token), 'idempotency-key': key },
  payload: { items: [{ productId: product.id, quantity }] }
})

t.test('the same request with the same key is answered as the first, and has one effect', async (t) => {
  const before = await stock()
  const first = await order('a')
  const second = await order('a')
  t.equal(first.statusCode, 201)
  t.equal(first.headers['idempotency-replayed'], undefined)
  t.equal(second.statusCode, 201)
  t.equal(second.headers['idempotency-replayed'], 'true')
  t.equal(second.headers.location, first.headers.location)
  t.equal(second.body, first.body)
  t.equal(await stock(), before - 1)
})

t.test('it stays the first answer when the order has moved on', async (t) => {
  const first = await order('moved')
  await app.inject({ method: 'POST', url: `/orders/${first.json().id}/pay`, headers: bearer(user.token) })
  t.equal((await order('moved')).body, first.body)
})

t.test('another body with the key is refused', async (t) => {
  await order('b', 1)
  const response = await order('b', 2)
  t.equal(response.statusCode, 422)
  t.equal(response.json().code, 'IDEMPOTENCY_KEY_REUSED')
})

t.test('the key of another user is another key', async (t) => {
  const { token } = await registered(app)
  const [mine, theirs] = [await order('c'), await order('c', 1, token)]
  t.equal(theirs.statusCode, 201)
  t.not(theirs.json().id, mine.json().id)
})

t.test('a key is of one route: others do not know it', async (t) => {
  const first = await order('routes')
  const step = (name: string) => app.inject({ method: 'POST', url: `/orders/${first.json().id}/${name}`, headers: { ...bearer(user.token), 'idempotency-key': 'routes' } })
  t.equal((await step('pay')).json().status, 'paid')
  t.equal((await step('cancel')).json().status, 'cancelled')
  t.equal((await order('routes')).body, first.body)
})

t.test('what failed may be tried again with its key', async (t) => {
  const { id } = await newProduct(app, { stock: 0 })
  const attempt = () => app.inject({ method: 'POST', url: '/orders', headers: { ...bearer(user.token), 'idempotency-key': 'd' }, payload: { items: [{ productId: id, quantity: 1 }] } })
  t.equal((await attempt()).statusCode, 409)
  await app.prisma.product.update({ where: { id }, data: { stock: 1 } })
  t.equal((await attempt()).statusCode, 201)
  t.equal((await attempt()).headers['idempotency-replayed'], 'true')
})

t.test('of many at once there is one order', async (t) => {
  const before = await stock()
  const responses = await Promise.all(Array.from({ length: 50 }, () => order('e')))
  const answered = responses.filter(({ statusCode }) => statusCode === 201)
  t.ok(answered.length >= 1)
  t.equal(new Set(answered.map(({ body }) => body)).size, 1)
  for (const { statusCode, body, headers } of responses) if (statusCode !== 201) t.match({ statusCode, body, headers }, { statusCode: 409, body: /IDEMPOTENCY_IN_FLIGHT/, headers: { 'retry-after': '1' } })
  t.equal(await stock(), before - 1)
})

t.test('the answer is kept for as long as the configuration says', async (t) => {
  const first = await order('f')
  const [record] = await app.prisma.idempotencyRecord.findMany({ where: { key: 'f' } })
  t.equal(record!.expiresAt.getTime() - record!.createdAt.getTime(), app.config.IDEMPOTENCY_TTL)
  await app.prisma.idempotencyRecord.updateMany({ where: { key: 'f' }, data: { expiresAt: new Date(0) } })
  t.not((await order('f')).json().id, first.json().id)
})

t.test('a key is 1 to 255 visible ASCII characters', async (t) => {
  for (const key of ['', 'x'.repeat(256), 'x'.repeat(300), 'a b', 'ä']) {
    const response = await order(key)
    t.equal(response.statusCode, 400, key)
    t.match(response.json().errors[0].pointer, /^#\/headers\/idempotency-key/)
  }
  for (const key of ['x', 'x'.repeat(255), '"quoted"', '8e03978e-40d5-43dd-bc93-6894a57f9324']) t.equal((await order(key)).statusCode, 201, key)
})

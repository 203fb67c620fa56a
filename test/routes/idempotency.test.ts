// The Idempotency-Key of routes that take one, by a route of the tests' own.
import t from 'tap'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { withReservations } from '../helpers/reservations.ts'

const app = await buildApp(t, {}, withReservations)
const user = await registered(app)
const product = await newProduct(app, { stock: 100 })
const stock = async () => (await app.inject(`/products/${product.id}`)).json().stock as number
const reserve = (key: string, { quantity = 1, token = user.token, productId = product.id, path = '' } = {}) => app.inject({
  method: 'POST',
  url: `/reservations${path}`,
  headers: { ...bearer(token), 'idempotency-key': key },
  payload: { productId, quantity }
})

t.test('the same request with the same key is answered as the first, and has one effect', async (t) => {
  const before = await stock()
  const first = await reserve('a')
  const second = await reserve('a')
  t.equal(first.statusCode, 201)
  t.equal(first.headers['idempotency-replayed'], undefined)
  t.equal(second.statusCode, 201)
  t.equal(second.headers['idempotency-replayed'], 'true')
  t.equal(second.headers.location, first.headers.location)
  t.equal(second.body, first.body)
  t.equal(await stock(), before - 1)
})

t.test('it stays the first answer when things have moved on', async (t) => {
  const first = await reserve('moved')
  t.not((await reserve('another')).json().left, first.json().left)
  t.equal((await reserve('moved')).body, first.body)
})

t.test('another body with the key is refused', async (t) => {
  await reserve('b')
  const response = await reserve('b', { quantity: 2 })
  t.equal(response.statusCode, 422)
  t.equal(response.json().code, 'IDEMPOTENCY_KEY_REUSED')
})

t.test('the key of another user is another key', async (t) => {
  const { token } = await registered(app)
  const [mine, theirs] = [await reserve('c'), await reserve('c', { token })]
  t.equal(theirs.statusCode, 201)
  t.not(theirs.json().id, mine.json().id)
})

t.test('a key is of one route: others do not know it', async (t) => {
  const before = await stock()
  const first = await reserve('routes')
  const returned = await reserve('routes', { path: '/returns' })
  t.equal(returned.headers['idempotency-replayed'], undefined)
  t.not(returned.json().id, first.json().id)
  t.equal(await stock(), before)
  t.equal((await reserve('routes')).body, first.body)
})

t.test('what failed may be tried again with its key', async (t) => {
  const { id: productId } = await newProduct(app, { stock: 0 })
  const attempt = () => reserve('d', { productId })
  t.equal((await attempt()).statusCode, 404)
  await app.prisma.product.update({ where: { id: productId }, data: { stock: 1 } })
  t.equal((await attempt()).statusCode, 201)
  t.equal((await attempt()).headers['idempotency-replayed'], 'true')
})

t.test('of many at once one has an effect', async (t) => {
  const before = await stock()
  const responses = await Promise.all(Array.from({ length: 50 }, () => reserve('e')))
  const answered = responses.filter(({ statusCode }) => statusCode === 201)
  t.ok(answered.length >= 1)
  t.equal(new Set(answered.map(({ body }) => body)).size, 1)
  for (const { statusCode, body, headers } of responses) if (statusCode !== 201) t.match({ statusCode, body, headers }, { statusCode: 409, body: /IDEMPOTENCY_IN_FLIGHT/, headers: { 'retry-after': '1' } })
  t.equal(await stock(), before - 1)
})

t.test('the answer is kept for as long as the configuration says', async (t) => {
  const first = await reserve('f')
  const [record] = await app.prisma.idempotencyRecord.findMany({ where: { key: 'f' } })
  t.equal(record!.expiresAt.getTime() - record!.createdAt.getTime(), app.config.IDEMPOTENCY_TTL)
  await app.prisma.idempotencyRecord.updateMany({ where: { key: 'f' }, data: { expiresAt: new Date(0) } })
  t.not((await reserve('f')).json().id, first.json().id)
})

t.test('a key is 1 to 255 visible ASCII characters', async (t) => {
  for (const key of ['', 'x'.repeat(256), 'x'.repeat(300), 'a b', 'ä']) {
    const response = await reserve(key)
    t.equal(response.statusCode, 400, key)
    t.match(response.json().errors[0].pointer, /^#\/headers\/idempotency-key/)
  }
  for (const key of ['x', 'x'.repeat(255), '"quoted"', '8e03978e-40d5-43dd-bc93-6894a57f9324']) t.equal((await reserve(key)).statusCode, 201, key)
})

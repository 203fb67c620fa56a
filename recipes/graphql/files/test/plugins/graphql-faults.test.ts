// What of a GraphQL operation fails in the service, and what takes too long.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { newProduct, registered } from '../helpers/app.ts'
import { ask, buildGraphql, post } from '../helpers/graphql.ts'
import { buildLogged } from '../helpers/log.ts'
import { holdTransaction } from '../helpers/transaction.ts'

const app = await buildGraphql(t)
const { token } = await registered(app)

t.test('what fails unexpectedly is told to the log alone', async t => {
  const { app: logged, lines } = await buildLogged(t, {}, fastify => {
    fastify.addHook('onReady', async () => { Object.defineProperty(fastify.prisma, 'product', { get: () => { throw new TypeError('the secret is 42') } }) })
  })
  const response = await post(logged, '{ product(id: "0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11") { id } __typename }')
  t.equal(response.statusCode, 200)
  t.match(response.json(), { data: { product: null, __typename: 'Query' }, errors: [{ message: 'The service failed.', path: ['product'], extensions: { code: 'INTERNAL_ERROR', status: 500 } }] })
  t.notMatch(response.body, /secret|TypeError/)
  t.match(lines.filter(({ level }) => level >= 50), [{ msg: 'a field failed', path: 'product', err: { message: 'the secret is 42' }, requestId: response.headers['x-request-id'] }])
})

t.test('without the database', async t => {
  const away = await buildGraphql(t, { DATABASE_URL: 'postgresql://postgres@127.0.0.1:1/none' })
  const { accessToken } = away.accessTokens.issue({ id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', scopes: ['orders:read'] })
  t.match(await ask(away, '{ orders { nodes { id } } }', { token: accessToken }), { data: null, errors: [{ extensions: { code: 'UNAVAILABLE', status: 503 } }] })
  t.same(await ask(away, '{ __typename }'), { data: { __typename: 'Query' } })
})

t.test('a request that takes too long is answered as everywhere, and what it waits for is not begun', async t => {
  const { id } = await newProduct(app, { stock: 5 })
  const release = await holdTransaction(app, async tx => { await tx.$queryRaw`SELECT 1 FROM products WHERE id = ${id}::uuid FOR UPDATE` })
  const response = await post(app, 'mutation ($input: NewOrder!) { a: createOrder(input: $input) { replayed } b: createOrder(input: $input) { replayed } }', { token, variables: { input: { items: [{ productId: id, quantity: 1 }] } }, headers: { 'x-request-timeout-ms': '300' } })
  t.match([response.statusCode, response.json()], [503, { code: 'DEADLINE_EXCEEDED' }])
  await release()
  // The transactions of the request have come to their end when a new one gets the lock.
  await app.prisma.$transaction(async tx => { await tx.$queryRaw`SELECT 1 FROM products WHERE id = ${id}::uuid FOR UPDATE` })
  await sleep(100)
  t.equal((await app.inject(`/products/${id}`)).json().stock, 5)
})

// Errors of GraphQL have the problems of the routes.
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { bearer, newProduct } from '../helpers/app.ts'
import { ask, buildGraphql, post, type Answer, type Extensions } from '../helpers/graphql.ts'
import { CREATE, orderers } from '../helpers/graphql-orders.ts'

const app = await buildGraphql(t)
const { admin, token, input, order } = await orderers(app)

t.test('an error has the problem that the route answers with', async t => {
  const few = await newProduct(app, { stock: 1 })
  const yen = await newProduct(app, { price: { amount: 1, currency: 'JPY' } })
  const shipped = await order()
  for (const step of ['pay', 'ship']) await app.inject({ method: 'POST', url: `/orders/${shipped}/${step}`, headers: bearer(admin.token) })
  const both = { items: [...input().items, ...input(1, yen.id).items] }
  for (const [payload, code] of [
    [input(5, few.id), 'OUT_OF_STOCK'],
    [input(1, randomUUID()), 'UNKNOWN_PRODUCT'],
    [{ items: [...input().items, ...input().items] }, 'DUPLICATE_PRODUCT'],
    [both, 'MIXED_CURRENCIES'],
    [input(0), 'VALIDATION_FAILED'],
    [input(1001), 'VALIDATION_FAILED'],
    [{ items: [] }, 'VALIDATION_FAILED'],
    [{ items: Array.from({ length: 101 }, () => input().items[0]) }, 'VALIDATION_FAILED']
  ] as const) {
    const { errors } = await ask(app, CREATE, { token, variables: { input: payload } })
    const rest = (await app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload })).json()
    t.equal(rest.code, code)
    same(t, errors[0], rest)
  }
  const id = randomUUID()
  for (const [path, field] of [[`/orders/${id}/pay`, `payOrder(id: "${id}")`], [`/orders/${shipped}/cancel`, `cancelOrder(id: "${shipped}")`]]) {
    const { errors } = await ask(app, `mutation { ${field} { id } }`, { token })
    same(t, errors[0], (await app.inject({ method: 'POST', url: path, headers: bearer(token) })).json())
  }
  const { errors } = await ask(app, '{ orders(after: "nonsense") { nodes { id } } }', { token })
  same(t, errors[0], (await app.inject({ url: '/orders?cursor=nonsense', headers: bearer(token) })).json())
})

t.test('an id that the request came with is in its errors', async t => {
  const response = await post(app, '{ me { id } }', { headers: { 'x-request-id': 'the-request-1', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' } })
  t.match(response.json().errors[0].extensions, { requestId: 'the-request-1', traceId: '0af7651916cd43dd8448eb211c80319c', type: '/problems/unauthorized' })
})

/** An error of GraphQL has what the problem of a route has. */
function same (t: Test, error: Answer<unknown>['errors'][0] | undefined, problem: Record<string, unknown>): void {
  const { requestId, ...rest } = error?.extensions ?? {} as Partial<Extensions>
  const { code, status, type, errors, detail } = problem
  t.same({ message: error?.message, ...rest }, { message: detail, code, status, type, ...errors === undefined ? {} : { errors } }, String(code))
  t.ok(requestId)
}

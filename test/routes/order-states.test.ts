import t from 'tap'
import { asAdmin, bearer, buildApp, newProduct, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const user = await registered(app)
const other = await registered(app)
const admin = await asAdmin(app)
const product = await newProduct(app, { stock: 1000 })
const step = (id: string, name: string, token = user.token) => app.inject({ method: 'POST', url: `/orders/${id}/${name}`, headers: bearer(token) })
const stockOf = async (id: string) => (await app.inject(`/products/${id}`)).json().stock as number

async function place (productId = product.id, quantity = 1): Promise<string> {
  const response = await app.inject({ method: 'POST', url: '/orders', headers: bearer(user.token), payload: { items: [{ productId, quantity }] } })
  return response.json().id
}

async function placeIn (status: string): Promise<string> {
  const id = await place()
  for (const name of { pending: [], paid: ['pay'], shipped: ['pay', 'ship'], cancelled: ['cancel'] }[status] ?? []) await step(id, name, admin.token)
  return id
}

t.test('each step is possible in some states and answers 409 in the others', async (t) => {
  const allowed: Record<string, Record<string, string>> = {
    pay: { pending: 'paid' },
    ship: { paid: 'shipped' },
    cancel: { pending: 'cancelled', paid: 'cancelled' }
  }
  for (const [name, from] of Object.entries(allowed)) {
    for (const status of ['pending', 'paid', 'shipped', 'cancelled']) {
      const id = await placeIn(status)
      const response = await step(id, name, admin.token)
      const after = (await app.inject({ url: `/orders/${id}`, headers: bearer(user.token) })).json()
      if (from[status]) {
        t.equal(response.statusCode, 200, `${name} when ${status}`)
        t.same(response.json(), after)
        t.ok(after.updatedAt > after.createdAt)
      } else {
        t.equal(response.statusCode, 409, `${name} when ${status}`)
        t.equal(response.json().code, 'INVALID_STATE')
      }
      t.equal(after.status, from[status] ?? status)
    }
  }
})

t.test('the owner pays and cancels; shipping is for admins', async (t) => {
  const id = await place()
  t.equal((await step(id, 'pay')).statusCode, 200)
  t.equal((await step(id, 'ship')).statusCode, 403)
  t.equal((await step(id, 'cancel')).statusCode, 200)
})

t.test('another\'s order is not there', async (t) => {
  const id = await place()
  for (const name of ['pay', 'cancel']) t.equal((await step(id, name, other.token)).statusCode, 404, name)
  t.equal((await step('0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', 'ship', admin.token)).statusCode, 404)
  t.equal((await step('1', 'pay')).statusCode, 400)
})

t.test('a cancelled order\'s products are back in stock, once', async (t) => {
  const { id: productId } = await newProduct(app, { stock: 10 })
  const id = await place(productId, 4)
  t.equal(await stockOf(productId), 6)
  t.equal((await step(id, 'cancel')).statusCode, 200)
  t.equal((await step(id, 'cancel')).statusCode, 409)
  t.equal(await stockOf(productId), 10)
})

t.test('of many cancellations at once, one puts the products back', async (t) => {
  const { id: productId } = await newProduct(app, { stock: 10 })
  const id = await place(productId, 4)
  const responses = await Promise.all(Array.from({ length: 8 }, () => step(id, 'cancel')))
  t.equal(responses.filter(({ statusCode }) => statusCode === 200).length, 1)
  t.equal(await stockOf(productId), 10)
})

t.test('of shipping and cancelling at once, one wins', async (t) => {
  for (let round = 0; round < 5; round++) {
    const id = await placeIn('paid')
    const responses = await Promise.all([step(id, 'ship', admin.token), step(id, 'cancel'), step(id, 'pay')])
    t.same(responses.map(({ statusCode }) => statusCode).sort(), [200, 409, 409])
  }
})

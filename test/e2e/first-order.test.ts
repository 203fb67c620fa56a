// The walk of the README, on the embedded database: a first order, which a restart keeps.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createKeelClient } from '../../client/index.ts'
import { developmentAdmin, logIn, signUp } from '../helpers/accounts.ts'
import { copyOfCheckout, startService } from '../helpers/process.ts'

t.test('the admin adds a product; a new user orders it, pays, and reads it back, also after kill -9', async t => {
  const folder = copyOfCheckout(t)
  const first = await startService(t, folder)
  const admin = createKeelClient(first.url, { token: await logIn(first.url, developmentAdmin) })
  const { data: product } = await admin.POST('/products', {
    body: { sku: `LAMP-${randomUUID().slice(0, 8)}`, name: 'Lamp', description: 'A lamp.', price: { amount: 1999, currency: 'EUR' }, stock: 3 }
  })
  if (!product) throw new Error('the product was not created')

  const { token, ...credentials } = await signUp(first.url)
  const ada = createKeelClient(first.url, { token })
  const { data: order } = await ada.POST('/orders', { body: { items: [{ productId: product.id, quantity: 2 }] } })
  if (!order) throw new Error('the order was not placed')
  t.same(order.total, { amount: 3998, currency: 'EUR' })
  const params = { path: { id: order.id } }
  t.equal((await ada.POST('/orders/{id}/pay', { params })).response.status, 200)
  t.equal((await ada.GET('/orders/{id}', { params })).data?.status, 'paid')
  t.equal((await ada.GET('/products/{id}', { params: { path: { id: product.id } } })).data?.stock, 1)
  await first.stop('SIGKILL')

  const second = await startService(t, folder)
  const again = createKeelClient(second.url, { token: await logIn(second.url, credentials) })
  t.equal((await again.GET('/orders/{id}', { params })).data?.status, 'paid')
  await second.stop()
})

// What the README walks through, on the embedded database: a first order, which a restart keeps.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createKeelClient } from '../../client/index.ts'
import { signUp } from '../helpers/accounts.ts'
import { copyOfCheckout, startService } from '../helpers/process.ts'

t.test('an admin adds a product; a new user orders it, pays, and reads it back, also after kill -9', async t => {
  const folder = copyOfCheckout(t)
  const first = await startService(t, folder)
  const admin = createKeelClient(first.url, { token: (await signUp(first, 'admin')).token })
  const { data: product } = await admin.POST('/products', {
    body: { sku: `LAMP-${randomUUID().slice(0, 8)}`, name: 'Lamp', description: 'A lamp.', price: { amount: 1999, currency: 'EUR' }, stock: 3 }
  })
  if (!product) throw new Error('the product was not created')

  const { token } = await signUp(first)
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
  const again = createKeelClient(second.url, { token })
  t.equal((await again.GET('/orders/{id}', { params })).data?.status, 'paid')
  await second.stop()
})

import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { createKeelClient } from '../../client/index.ts'
import { signUp } from './accounts.ts'
import type { Service } from './process.ts'

/** What is done first with a service: an admin adds a product and changes it, a new user reads it. */
export async function firstProduct (t: Test, service: Service): Promise<{ path: string, email: string, token: string }> {
  const { url } = service
  const admin = createKeelClient(url, { token: (await signUp(service, 'admin')).token })
  const { data: product, response } = await admin.POST('/products', {
    body: { sku: `LAMP-${randomUUID().slice(0, 8)}`, name: 'Lamp', description: 'A lamp.', price: { amount: 1999, currency: 'EUR' }, stock: 3 }
  })
  if (!product) throw new Error('the product was not created')
  const params = { path: { id: product.id } }
  const change = await admin.PATCH('/products/{id}', { params: { ...params, header: { 'if-match': response.headers.get('etag') ?? '' } }, body: { stock: 1 } })
  t.equal(change.response.status, 200)

  const { email, token } = await signUp(service)
  const ada = createKeelClient(url, { token })
  t.equal((await ada.GET('/users/me')).data?.email, email)
  t.equal((await ada.GET('/products/{id}', { params })).data?.stock, 1)
  return { path: response.headers.get('location') ?? '', email, token }
}

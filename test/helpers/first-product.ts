import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { createKeelClient } from '../../client/index.ts'
import { developmentAdmin, logIn } from './accounts.ts'

/** What is done first with a service: the admin adds a product and changes it, a new user signs in and reads it. */
export async function firstProduct (t: Test, url: string): Promise<{ path: string, credentials: { email: string, password: string } }> {
  const admin = createKeelClient(url, { token: await logIn(url, developmentAdmin) })
  const { data: product, response } = await admin.POST('/products', {
    body: { sku: `LAMP-${randomUUID().slice(0, 8)}`, name: 'Lamp', description: 'A lamp.', price: { amount: 1999, currency: 'EUR' }, stock: 3 }
  })
  if (!product) throw new Error('the product was not created')
  const params = { path: { id: product.id } }
  const change = await admin.PATCH('/products/{id}', { params: { ...params, header: { 'if-match': response.headers.get('etag') ?? '' } }, body: { stock: 1 } })
  t.equal(change.response.status, 200)

  const credentials = { email: `${randomUUID()}@example.com`, password: 'correct horse battery' }
  const registered = await createKeelClient(url).POST('/auth/register', { body: { ...credentials, name: 'Ada' } })
  t.equal(registered.response.status, 201)
  const ada = createKeelClient(url, { token: await logIn(url, credentials) })
  t.equal((await ada.GET('/users/me')).data?.email, credentials.email)
  t.equal((await ada.GET('/products/{id}', { params })).data?.stock, 1)
  return { path: response.headers.get('location') ?? '', credentials }
}

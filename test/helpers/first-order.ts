import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { createKeelClient, type Schema } from '../../client/index.ts'
import { call } from './process.ts'

/** What a stranger does first: as the admin adds a product, as a new user orders it, pays and reads it back. */
export async function firstOrder (t: Test, url: string): Promise<{ path: string, credentials: { email: string, password: string } }> {
  const admin = createKeelClient(url, { token: await logIn(url, { email: 'admin@example.com', password: 'keel-development' }) })
  const { data: product } = await admin.POST('/products', {
    body: { sku: `LAMP-${randomUUID().slice(0, 8)}`, name: 'Lamp', description: 'A lamp.', price: { amount: 1999, currency: 'EUR' }, stock: 3 }
  })
  if (!product) throw new Error('the product was not created')

  const credentials = { email: `${randomUUID()}@example.com`, password: 'correct horse battery' }
  const registered = await createKeelClient(url).POST('/auth/register', { body: { ...credentials, name: 'Ada' } })
  t.equal(registered.response.status, 201)
  const ada = createKeelClient(url, { token: await logIn(url, credentials) })
  const { data: order, response } = await ada.POST('/orders', { body: { items: [{ productId: product.id, quantity: 2 }] } })
  if (!order) throw new Error('the order was not placed')
  t.same(order.total, { amount: 3998, currency: 'EUR' })

  const params = { path: { id: order.id } }
  t.equal((await ada.POST('/orders/{id}/pay', { params })).response.status, 200)
  t.equal((await ada.GET('/orders/{id}', { params })).data?.status, 'paid')
  t.equal((await ada.GET('/products/{id}', { params: { path: { id: product.id } } })).data?.stock, 1)
  return { path: response.headers.get('location') ?? '', credentials }
}

/** A new user, signed in. */
export async function signUp (url: string): Promise<{ email: string, password: string, token: string }> {
  const credentials = { email: `${randomUUID()}@example.com`, password: 'correct horse battery' }
  await call(`${url}/auth/register`, { body: { ...credentials, name: 'Ada' } })
  return { ...credentials, token: await logIn(url, credentials) }
}

export async function logIn (url: string, body: Schema<'Credentials'>): Promise<string> {
  const { data, response } = await createKeelClient(url).POST('/auth/login', { body })
  if (!data) throw new Error(`no login: ${response.status}`)
  return data.accessToken
}

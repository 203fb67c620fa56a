import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { call } from './process.ts'

/** What a stranger does first: as the admin adds a product, as a new user orders it, pays and reads it back. */
export async function firstOrder (t: Test, url: string): Promise<{ path: string, credentials: { email: string, password: string } }> {
  const admin = await logIn(url, { email: 'admin@example.com', password: 'keel-development' })
  const product = await call(`${url}/products`, {
    token: admin,
    body: { sku: `LAMP-${randomUUID().slice(0, 8)}`, name: 'Lamp', description: 'A lamp.', price: { amount: 1999, currency: 'EUR' }, stock: 3 }
  })
  t.equal(product.status, 201)

  const credentials = { email: `${randomUUID()}@example.com`, password: 'correct horse battery' }
  t.equal((await call(`${url}/auth/register`, { body: { ...credentials, name: 'Ada' } })).status, 201)
  const token = await logIn(url, credentials)
  const order = await call(`${url}/orders`, { token, body: { items: [{ productId: product.body.id, quantity: 2 }] } })
  t.equal(order.status, 201)
  t.same(order.body.total, { amount: 3998, currency: 'EUR' })

  const path = order.headers.get('location') ?? ''
  t.equal((await call(`${url}${path}/pay`, { token, method: 'POST' })).status, 200)
  t.equal((await call(`${url}${path}`, { token })).body.status, 'paid')
  t.equal((await call(`${url}/products/${product.body.id}`)).body.stock, 1)
  return { path, credentials }
}

export async function logIn (url: string, credentials: { email: string, password: string }): Promise<string> {
  return (await call(`${url}/auth/login`, { body: credentials })).body.accessToken
}

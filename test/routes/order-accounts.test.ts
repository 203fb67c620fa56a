import t from 'tap'
import { bearer, buildApp } from '../helpers/app.ts'
import { foreignUser, issuerKey, startIssuer } from '../helpers/issuer.ts'

t.test('of another issuer\'s users, who has no account here can\'t order, and nothing is locked or kept of the attempt', async (t) => {
  const key = issuerKey('one')
  const { url } = await startIssuer(t, key)
  const app = await buildApp(t, { JWT_JWKS_URL: url, JWT_PRIVATE_KEY: undefined, JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'api' })
  const { id } = await app.prisma.product.create({ data: { sku: 'LAMP', name: 'Lamp', description: '', priceAmount: 1, priceCurrency: 'EUR', stock: 5 } })
  const order = (headers = {}) => app.inject({ method: 'POST', url: '/orders', headers: { ...bearer(key.sign({ scope: 'orders:write' })), ...headers }, payload: { items: [{ productId: id, quantity: 1 }] } })
  for (const headers of [{}, { 'idempotency-key': 'a' }]) {
    const response = await order(headers)
    t.equal(response.statusCode, 403)
    t.equal(response.json().code, 'ACCOUNT_REQUIRED')
  }
  await app.prisma.user.create({ data: { id: foreignUser, email: 'ada@example.com', name: 'Ada' } })
  t.equal((await order({ 'idempotency-key': 'a' })).statusCode, 201)
})

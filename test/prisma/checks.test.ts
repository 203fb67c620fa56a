// What the database itself refuses, whatever a service does.
import t from 'tap'
import { id, insert, product, trier, user, type Columns } from './constraints.ts'

const record = (columns: Columns = {}) => insert('idempotency_records', { user_id: id(1), operation: "'test'", key: "'k'", fingerprint: "sha256('x')", answer: "'{}'", expires_at: 'now()', ...columns })

t.test('checks', async (t) => {
  const tried = await trier(t, [user(), product()])
  const other = { id: id(9) }
  const refused: [string, string][] = [
    ['users_email_check', user({ ...other, email: "'Bob@example.com'" })],
    ['users_email_check', user({ ...other, email: "''" })],
    ['users_name_check', user({ ...other, email: "'b@example.com'", name: "''" })],
    ['products_sku_check', product({ ...other, sku: "''" })],
    ['products_name_check', product({ ...other, sku: "'B'", name: "''" })],
    ['products_price_amount_check', product({ ...other, sku: "'B'", price_amount: '-1' })],
    ['products_price_currency_check', product({ ...other, sku: "'B'", price_currency: "'eur'" })],
    ['products_price_currency_check', product({ ...other, sku: "'B'", price_currency: "'EU'" })],
    ['products_stock_check', `UPDATE products SET stock = stock - 1 WHERE id = ${id(2)}`],
    ['products_version_check', product({ ...other, sku: "'B'", version: '0' })],
    ['idempotency_records_operation_check', record({ operation: "''" })],
    ['idempotency_records_key_check', record({ key: "''" })],
    ['idempotency_records_key_check', record({ key: "repeat('k', 256)" })],
    ['idempotency_records_fingerprint_check', record({ fingerprint: "'short'" })]
  ]
  for (const [constraint, sql] of refused) t.equal(await tried(sql), constraint, sql)
  t.equal(await tried(record({ key: "repeat('k', 255)" })), 'accepted')
})

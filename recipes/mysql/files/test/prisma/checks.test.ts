// What the database itself refuses, whatever a service does.
import t from 'tap'
import { cloneTemplate } from '../helpers/template.ts'
import { client } from './project.ts'

const { url, close } = await cloneTemplate()
t.teardown(close)

const id = (number: number) => `'00000000-0000-7000-8000-${String(number).padStart(12, '0')}'`
const hash = "unhex(sha2('x', 256))"
const user = (columns: Record<string, string> = {}) => insert('users', { id: id(1), email: "'ada@example.com'", name: "'Ada'", ...columns })
const product = (columns: Record<string, string> = {}) => insert('products', { id: id(2), sku: "'A-1'", name: "'Lamp'", description: "''", price_amount: '1', price_currency: "'EUR'", stock: '0', ...columns })
const order = (columns: Record<string, string> = {}) => insert('orders', { id: id(3), user_id: id(1), currency: "'EUR'", total_amount: '0', ...columns })
const item = (columns: Record<string, string> = {}) => insert('order_items', { order_id: id(3), position: '0', product_id: id(2), sku: "'A-1'", name: "'Lamp'", quantity: '1', unit_price_amount: '1', ...columns })
const token = (columns: Record<string, string> = {}) => insert('refresh_tokens', { id: id(4), family_id: id(5), user_id: id(1), token_hash: hash, expires_at: 'now() + INTERVAL 1 DAY', ...columns })
const record = (columns: Record<string, string> = {}) => insert('idempotency_records', { user_id: id(1), operation: "'createOrder'", key: "'k'", fingerprint: hash, answer: "'{}'", expires_at: 'now()', ...columns })

function insert (table: string, columns: Record<string, string>): string {
  return `INSERT INTO ${table} (${Object.keys(columns).map(name => `"${name}"`).join(', ')}) VALUES (${Object.values(columns).join(', ')})`
}

t.test('checks', async (t) => {
  const one = await client(t, url)
  // Each is tried on its own, on top of rows that are right.
  const tried = async (sql: string): Promise<unknown> => {
    await one.query('BEGIN')
    try {
      for (const row of [user(), product(), order()]) await one.query(row)
      return await one.query(sql).then(() => 'accepted', ({ errno, sqlMessage }: { errno: number, sqlMessage: string }) =>
        // MariaDB and MySQL say it in other words.
        errno === 4025 || errno === 3819 ? /[`'](?:[^`']*\.)?(\w+_check)[`']/.exec(sqlMessage)?.[1] : `${errno}: ${sqlMessage}`)
    } finally {
      await one.query('ROLLBACK')
    }
  }
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
    ['orders_currency_check', order({ ...other, currency: "'E1R'" })],
    ['orders_total_amount_check', order({ ...other, total_amount: '-1' })],
    ['orders_version_check', order({ ...other, version: '0' })],
    ['order_items_position_check', item({ position: '-1' })],
    ['order_items_sku_check', item({ sku: "''" })],
    ['order_items_name_check', item({ name: "''" })],
    ['order_items_quantity_check', item({ quantity: '0' })],
    ['order_items_quantity_check', item({ quantity: '1001' })],
    ['order_items_unit_price_amount_check', item({ unit_price_amount: '-1' })],
    ['refresh_tokens_token_hash_check', token({ token_hash: "'short'" })],
    ['refresh_tokens_expires_at_check', token({ expires_at: 'now() - INTERVAL 1 SECOND' })],
    ['idempotency_records_operation_check', record({ operation: "''" })],
    ['idempotency_records_key_check', record({ key: "''" })],
    ['idempotency_records_fingerprint_check', record({ fingerprint: "'short'" })]
  ]
  for (const [constraint, sql] of refused) t.equal(await tried(sql), constraint, sql)
  for (const sql of [item({ quantity: '1000' }), token(), record({ key: "repeat('k', 255)" })]) t.equal(await tried(sql), 'accepted', sql)
  t.match(await tried(record({ key: "repeat('k', 256)" })), /^1406: /, 'what is too long is refused and not cut')
  t.match(await tried(user({ ...other, email: "'ada@example.com'" })), /^1062: /)
  t.equal(await tried(user({ ...other, email: "'ada@example.co'" })), 'accepted')
})

// What the database itself refuses of orders.
import t from 'tap'
import { id, insert, product, trier, user, type Columns } from './constraints.ts'

const order = (columns: Columns = {}) => insert('orders', { id: id(3), user_id: id(1), currency: "'EUR'", total_amount: '0', ...columns })
const item = (columns: Columns = {}) => insert('order_items', { order_id: id(3), position: '0', product_id: id(2), sku: "'A-1'", name: "'Lamp'", quantity: '1', unit_price_amount: '1', ...columns })

t.test('checks', async (t) => {
  const tried = await trier(t, [user(), product(), order()])
  const other = { id: id(9) }
  const refused: [string, string][] = [
    ['orders_currency_check', order({ ...other, currency: "'E1R'" })],
    ['orders_total_amount_check', order({ ...other, total_amount: '-1' })],
    ['orders_version_check', order({ ...other, version: '0' })],
    ['order_items_position_check', item({ position: '-1' })],
    ['order_items_sku_check', item({ sku: "''" })],
    ['order_items_name_check', item({ name: "''" })],
    ['order_items_quantity_check', item({ quantity: '0' })],
    ['order_items_quantity_check', item({ quantity: '1001' })],
    ['order_items_unit_price_amount_check', item({ unit_price_amount: '-1' })]
  ]
  for (const [constraint, sql] of refused) t.equal(await tried(sql), constraint, sql)
  t.equal(await tried(item({ quantity: '1000' })), 'accepted')
})

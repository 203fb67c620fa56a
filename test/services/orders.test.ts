import pg from 'pg'
import t from 'tap'
import { bearer, buildApp, newProduct, registered, testDatabase } from '../helpers/app.ts'

// It needs two sessions that wait for each other: the embedded database has one.
const skip = process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set'

t.test('an account that goes while its order is placed is missed like one that never was', { skip }, async (t) => {
  const app = await buildApp(t)
  const { id: productId } = await newProduct(app)
  const { id, token } = await registered(app)
  const other = new pg.Client({ connectionString: await testDatabase() })
  await other.connect()
  t.teardown(() => other.end())
  await other.query('BEGIN')
  await other.query('SELECT 1 FROM products WHERE id = $1 FOR UPDATE', [productId])
  const order = app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload: { items: [{ productId, quantity: 1 }] } }).then(response => response)
  const waits = async () => (await other.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).rowCount === 1
  while (!await waits()) await new Promise(resolve => setTimeout(resolve, 10))
  await other.query('DELETE FROM users WHERE id = $1', [id])
  await other.query('COMMIT')
  t.match((await order).json(), { status: 403, code: 'ACCOUNT_REQUIRED' })
})

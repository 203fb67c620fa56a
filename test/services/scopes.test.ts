import t from 'tap'
import { scopesOf } from '../../services/scopes.ts'

t.test('a user may read and write orders', async (t) => {
  t.same(scopesOf('user'), ['orders:read', 'orders:write'])
})

t.test('an admin may do more', async (t) => {
  t.same(scopesOf('admin'), ['orders:read', 'orders:write', 'products:write', 'users:read', 'orders:admin'])
})

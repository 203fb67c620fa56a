// What the database itself refuses of sessions and of counts of wrong passwords.
import t from 'tap'
import { id, insert, trier, user, type Columns } from './constraints.ts'

const token = (columns: Columns = {}) => insert('refresh_tokens', { id: id(4), family_id: id(5), user_id: id(1), token_hash: "sha256('x')", expires_at: "now() + interval '1 day'", ...columns })
const throttle = (columns: Columns = {}) => insert('login_throttles', { key: "sha256('x')", window_ends_at: 'now()', expires_at: 'now()', ...columns })

t.test('checks', async (t) => {
  const tried = await trier(t, [user()])
  const refused: [string, string][] = [
    ['refresh_tokens_token_hash_check', token({ token_hash: "'short'" })],
    ['refresh_tokens_expires_at_check', token({ expires_at: "now() - interval '1 second'" })],
    ['login_throttles_key_check', throttle({ key: "'short'" })],
    ['login_throttles_failures_check', throttle({ failures: '-1' })]
  ]
  for (const [constraint, sql] of refused) t.equal(await tried(sql), constraint, sql)
  for (const sql of [token(), throttle()]) t.equal(await tried(sql), 'accepted', sql)
})

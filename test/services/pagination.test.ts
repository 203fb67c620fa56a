import t from 'tap'
import { containing } from '../../services/dialect.ts'
import { DomainError } from '../../services/errors.ts'
import { keyset } from '../../services/pagination.ts'

interface Row { id: string, name: string, size: number, at: Date }

const id = '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'
const row: Row = { id, name: 'Ärger & Söhne', size: 7, at: new Date('2026-11-25T09:36:16.123Z') }
const list = keyset('things', {
  name: { column: 'name', kind: 'text', value: (row: Row) => row.name },
  size: { column: 'size', kind: 'integer', value: row => row.size },
  at: { column: 'created_at', kind: 'time', value: row => row.at }
})
const cursorOf = (sort: typeof list.sorts[number], last: Row = row) => list.page([last, last], sort, { limit: 1 }).nextCursor as string
const forged = (position: unknown) => Buffer.from(JSON.stringify(position)).toString('base64url')

t.test('a list can be sorted by each of its keys, up and down', async (t) => {
  t.same(list.sorts, ['name', '-name', 'size', '-size', 'at', '-at'])
})

t.test('a page is cut at its limit and leads on', async (t) => {
  const page = list.page([row, { ...row, name: 'other' }], 'name', { limit: 1 })
  t.same(page.items, [row])
  t.type(page.nextCursor, 'string')
})

t.test('the last page leads nowhere', async (t) => {
  t.same(list.page([row], 'name', { limit: 1 }), { items: [row], nextCursor: null })
  t.same(list.page([], 'name', {}), { items: [], nextCursor: null })
})

t.test('the first page begins at the start', async (t) => {
  const { after, by, take } = list.seek('-size', {})
  t.equal(after.sql, 'TRUE')
  t.equal(by.sql, 'size DESC, id DESC')
  t.equal(take, 21)
})

t.test('a cursor goes on behind its row, as one row comparison', async (t) => {
  const up = list.seek('name', { cursor: cursorOf('name'), limit: 5 })
  t.equal(up.after.sql, '(name, id) > (?::text, ?::uuid)')
  t.same(up.after.values, [row.name, id])
  t.equal(up.take, 6)
  const down = list.seek('-at', { cursor: cursorOf('-at') })
  t.equal(down.after.sql, '(created_at, id) < (?::timestamptz, ?::uuid)')
  t.same(down.after.values, [row.at.toISOString(), id])
})

t.test('a cursor that is not from this list in this order is refused', async (t) => {
  const good = cursorOf('name')
  const bad = {
    'of another order': cursorOf('-name'),
    'of another key': cursorOf('size'),
    truncated: good.slice(0, -3),
    lengthened: `${good}AA`,
    'cut inside a byte': good.slice(0, -1),
    empty: '',
    'not base64url': '!!!',
    'standard base64': Buffer.from(JSON.stringify(['things', 'name', '???>>>', id])).toString('base64'),
    'not JSON': Buffer.from('hello').toString('base64url'),
    'not an array': forged({ list: 'things', sort: 'name', value: 'x', id }),
    'null in JSON': forged(null),
    'of another list': forged(['others', 'name', 'x', id]),
    'too long': forged(['things', 'name', 'x', id, 1]),
    'without an id': forged(['things', 'name', 'x']),
    'with an id that is none': forged(['things', 'name', 'x', "' OR 1=1"]),
    'with an id of the wrong type': forged(['things', 'name', 'x', [id, id]]),
    'with an id in an array': forged(['things', 'name', 'x', [id]]),
    'with a number for text': forged(['things', 'name', 1, id]),
    'with NUL in the text': forged(['things', 'name', 'a\0b', id]),
    'with half a surrogate pair': forged(['things', 'name', '\ud800', id])
  }
  for (const [what, cursor] of Object.entries(bad)) t.throws(() => list.seek('name', { cursor }), new DomainError('INVALID_CURSOR', 'The cursor does not belong to this list in this order: start again without it.'), what)
})

t.test('a value that the column cannot hold is refused', async (t) => {
  const bad = { size: ['7', 1.5, 2 ** 31, -(2 ** 31) - 1, null, 1e300], at: ['yesterday', '2026-13-25T09:36:16.123Z', '2026-02-30T00:00:00.000Z', '0000-01-01T00:00:00.000Z', '2026-11-25', 0, '+275760-09-13T00:00:00.001Z'] }
  for (const sort of ['size', 'at'] as const) {
    for (const value of bad[sort]) t.throws(() => list.seek(sort, { cursor: forged(['things', sort, value, id]) }), { code: 'INVALID_CURSOR' }, `${sort}: ${value}`)
  }
})

t.test('text to search for is taken literally', async (t) => {
  t.same(containing(['name'], '50%_\\x').values, ['%50\\%\\_\\\\x%'])
})

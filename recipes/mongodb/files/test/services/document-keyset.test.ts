import t from 'tap'
import { DomainError } from '../../services/errors.ts'
import { documentKeyset } from '../../services/mongodb/seek.ts'

interface Item { id: string, size: number, at: Date }

const id = '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'
const item: Item = { id, size: 7, at: new Date('2026-11-25T09:36:16.123Z') }
const list = documentKeyset('things', {
  size: { field: 'size', kind: 'integer', value: (item: Item) => item.size },
  at: { field: 'at', kind: 'time', value: item => item.at }
})
type Sort = typeof list.sorts[number]
const cursorOf = (sort: Sort) => list.page([item, item], sort, { limit: 1 }).nextCursor as string
const forged = (position: unknown) => Buffer.from(JSON.stringify(position)).toString('base64url')

t.test('a list can be sorted by each of its fields, up and down', async t => {
  t.same(list.sorts, ['size', '-size', 'at', '-at'])
})

t.test('the first page begins at the start', async t => {
  t.same(list.seek('-size', { limit: 5 }), { after: {}, sort: { size: -1, _id: -1 }, limit: 6 })
})

t.test('a cursor goes on behind its item, up', async t => {
  t.same(list.seek('size', { cursor: cursorOf('size') }).after, { size: { $gte: 7 }, $or: [{ size: { $gt: 7 } }, { size: 7, _id: { $gt: id } }] })
})

t.test('and down, times as times', async t => {
  t.same(list.seek('-at', { cursor: cursorOf('-at') }).after, { at: { $lte: item.at }, $or: [{ at: { $lt: item.at } }, { at: item.at, _id: { $lt: id } }] })
})

t.test('the last page leads nowhere', async t => {
  t.same(list.page([item], 'size', { limit: 1 }), { items: [item], nextCursor: null })
})

for (const [name, cursor] of Object.entries({
  'no base64url': '%%%',
  'no JSON': Buffer.from('nonsense').toString('base64url'),
  'of another list': forged(['others', 'size', 7, id]),
  'of another order': cursorOf('at'),
  'with an operator for a value': forged(['things', 'size', { $gt: 0 }, id]),
  'with an operator for an id': forged(['things', 'size', 7, { $gt: '' }]),
  'with half a number': forged(['things', 'size', 7.5, id])
})) {
  t.test(`a cursor ${name} is refused`, async t => {
    t.throws(() => list.seek('size', { cursor }), new DomainError('INVALID_CURSOR', 'The cursor does not belong to this list in this order: start again without it.'))
  })
}

import t from 'tap'
import { Type } from 'typebox'
import { pageOf, ref } from '../../routes/schemas.ts'

t.test('a schema is referred to by its name', async (t) => {
  t.match(ref(Type.Object({}, { $id: 'Thing' })), { $ref: 'Thing#' })
  t.match(pageOf(Type.Object({}, { $id: 'Thing' })), { $id: 'ThingPage', properties: { items: { items: { $ref: 'Thing#' } } } })
})

t.test('one without a name cannot be: what to do is said where the mistake is', async (t) => {
  const nameless = Type.Object({}, { description: 'A thing' })
  t.throws(() => ref(nameless), /give "A thing" an \$id, and register it with addSchema/)
  t.throws(() => pageOf(nameless), /\$id/)
})

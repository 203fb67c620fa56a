import t from 'tap'
import { DuplicateError } from '../../services/mongodb/failures.ts'
import { Repository, type Kept } from '../../services/mongodb/repository.ts'
import { withoutDatabase } from '../helpers/app.ts'
import { connected } from '../helpers/mongodb-service.ts'
import { failure } from '../helpers/mongodb-stand-in.ts'

withoutDatabase()

t.test('a double is a conflict that does not tell what there is', async t => {
  const values = failure(11_000, [], { errmsg: 'E11000 duplicate key error collection: app.things dup key: { email: "ada@example.com" }', keyPattern: { email: 1 }, keyValue: { email: 'ada@example.com' } })
  const { app } = await connected(t, { answer: ({ insert }) => insert === undefined ? undefined : { ok: 1, n: 0, writeErrors: [{ index: 0, code: 11_000, errmsg: values.errmsg, keyPattern: values.keyPattern, keyValue: values.keyValue }] } })
  const things = new Repository<Kept>(app.mongodb, { name: 'things', validator: { $jsonSchema: {} }, indexes: [] })
  const error = await things.insert({}).catch(error => error)
  t.type(error, DuplicateError)
  t.match(app.problemOf(error), { status: 409, code: 'CONFLICT', detail: 'The resource exists already.' })
  t.notMatch(JSON.stringify(app.problemOf(error)), /ada/)
})

t.test('a document that MongoDB refuses is a fault of the service', async t => {
  const { app } = await connected(t, { answer: ({ insert }) => insert === undefined ? undefined : { ok: 1, n: 0, writeErrors: [{ index: 0, code: 121, errmsg: 'Document failed validation', errInfo: { secret: 'hush' } }] } })
  const things = new Repository<Kept>(app.mongodb, { name: 'things', validator: { $jsonSchema: {} }, indexes: [] })
  const problem = app.problemOf(await things.insert({}).catch(error => error))
  t.match(problem, { status: 500, code: 'INTERNAL_ERROR' })
  t.notMatch(JSON.stringify(problem), /hush|validation/)
})

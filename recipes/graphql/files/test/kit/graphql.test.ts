// What is made of the GraphQL schema is as committed, and a schema that leaves a field open does not start.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildSchema } from 'graphql'
import t from 'tap'
import { made } from '../../kit/graphql.ts'
import { directives, guarded } from '../../plugins/graphql/directives.ts'
import { Documents } from '../../plugins/graphql/documents.ts'

t.test('schema.graphql and the persisted queries are up to date', async t => {
  for (const [path, text] of Object.entries(made)) t.equal(readFileSync(path, 'utf8'), text(), `${path}: npm run graphql:schema, graphql:persist`)
  t.same(Object.keys(made), ['schema.graphql', 'routes/graphql/persisted.json'])
})

t.test('schema.graphql is a schema, and says who may ask', async t => {
  const text = readFileSync('schema.graphql', 'utf8')
  t.ok(buildSchema(text).getSubscriptionType())
  t.match(text, 'users(after: String, email: String, first: Int! = 20): UserConnection! @auth(scopes: ["users:read"])')
})

t.test('a field that says nobody, or both, or a scope that no role has, stops the start by its name', async t => {
  const check = (sdl: string) => guarded(buildSchema(`${directives} ${sdl}`), ['a:read'])
  t.throws(() => check('type Query { open: Int fine: Int @public }'), { message: /for Query\.open$/ })
  t.throws(() => check('type Query { both: Int @public @auth }'), { message: /for Query\.both$/ })
  t.throws(() => check('type Query { fine: Int @public } type Mutation { a: Int } type Subscription { b: Int }'), { message: /for Mutation\.a, Subscription\.b$/ })
  t.throws(() => check('type Query { it: Thing @public } type Thing { name: String @auth(scopes: ["a:read", "b:read"]) }'), { message: /the scope b:read \(Thing\.name\)/ })
  t.doesNotThrow(() => check('type Query { it: Thing @auth(scopes: ["a:read"]) } type Thing { name: String }'))
})

t.test('a persisted query that does not fit the schema stops the start by its id', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'keel-graphql-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'persisted.json')
  const open = (text: string) => {
    const id = createHash('sha256').update(text).digest('hex')
    writeFileSync(file, JSON.stringify({ [id]: text }))
    return { id, documents: () => new Documents({ schema: buildSchema('type Query { a: Int }'), file, onlyPersisted: true, introspection: false, most: { depth: 1, cost: 1 } }) }
  }
  for (const text of ['{ b }', '{', '{ __schema { types { name } } }']) {
    const { id, documents } = open(text)
    t.throws(documents, { message: new RegExp(`the persisted query ${id} does not fit the schema: \\w`) }, text)
  }
  const { id, documents } = open('{ a }')
  t.equal(documents().textOf({ documentId: `sha256:${id}` }), '{ a }')
  rmSync(file)
  t.throws(documents, { code: 'ENOENT' })
})

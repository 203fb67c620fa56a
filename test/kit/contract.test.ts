import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { compareDocuments } from '../../kit/contract/compare.ts'
import type { Document, Operation, Schema } from '../../kit/contract/document.ts'
import { mayBreak } from '../../kit/contract/version.ts'
import { checkContract } from '../../kit/openapi-check.ts'

const json = (schema: Schema) => ({ content: { 'application/json': { schema } } })
const thing: Schema = {
  type: 'object',
  required: ['id', 'kind'],
  properties: { id: { type: 'string' }, kind: { type: 'string', enum: ['a', 'b'] }, note: { type: 'string', maxLength: 10 }, count: { type: 'integer', minimum: 1, maximum: 9 }, tags: { type: 'array', items: { type: 'string' }, maxItems: 3 } }
}
const base: Document = {
  paths: {
    '/things/{id}': {
      put: {
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }, { name: 'sort', in: 'query', schema: { type: 'string', enum: ['x', 'y'] } }, { name: 'if-match', in: 'header', schema: { type: 'string' } }],
        requestBody: { required: true, ...json({ $ref: '#/components/schemas/NewThing' }) },
        responses: { 200: { ...json({ $ref: '#/components/schemas/Thing' }), headers: { ETag: {} } }, 404: json({ type: 'object' }) },
        security: [{ token: ['things:write'] }]
      }
    },
    '/others': { get: { responses: { 200: json({ anyOf: [{ type: 'string' }, { type: 'null' }] }) }, security: [] } }
  },
  components: { schemas: { Thing: thing, NewThing: { ...structuredClone(thing), additionalProperties: false } } }
}

/** What is said of a change that was made to the base, and what of undoing it. */
function said (change: (document: Document, operation: Operation, sent: Schema, answered: Schema) => void): { there: string[], back: string[] } {
  const changed = structuredClone(base)
  const { NewThing = {}, Thing = {} } = changed.components?.schemas ?? {}
  change(changed, changed.paths!['/things/{id}']!.put!, NewThing, Thing)
  const lines = (before: Document, after: Document) => compareDocuments(before, after).map(({ breaking, at, what }) => `${breaking ? 'BREAKING' : 'info'}: ${at}: ${what}`)
  return { there: lines(base, changed), back: lines(changed, base) }
}

const PUT = 'PUT /things/{id}'
const fields = (schema: Schema) => schema.properties!

// Each is one way round breaking, and harmless or another breach the other way round.
const table: [name: string, change: Parameters<typeof said>[0], there: string, back: string][] = [
  ['an operation is removed', document => { delete document.paths!['/others'] }, 'BREAKING: GET /others: the operation is removed', 'info: GET /others: a new operation'],
  ['a response code is removed', (_d, operation) => { delete operation.responses![404] }, `BREAKING: ${PUT} 404: the response is removed`, `info: ${PUT} 404: a new response`],
  ['a response header is removed', (_d, operation) => { operation.responses![200]!.headers = {} }, `BREAKING: ${PUT} 200: the header ETag is removed`, `info: ${PUT} 200: a new header: ETag`],
  ['a media type is removed', (_d, operation) => { operation.responses![200]!.content = {} }, `BREAKING: ${PUT} 200: the media type application/json is removed`, `info: ${PUT} 200: a new media type: application/json`],
  ['a request field is new and required', (_d, _o, sent) => { fields(sent).size = {}; sent.required!.push('size') }, 'BREAKING: NewThing (in requests).size: a new field that is required', 'BREAKING: NewThing (in requests).size: the field is removed'],
  ['a request field is new', (_d, _o, sent) => { fields(sent).size = {} }, 'info: NewThing (in requests).size: a new field', 'BREAKING: NewThing (in requests).size: the field is removed'],
  ['a request field becomes required', (_d, _o, sent) => { sent.required!.push('note') }, 'BREAKING: NewThing (in requests).note: the field is now required', 'info: NewThing (in requests).note: the field is no longer required'],
  ['a query parameter is new and required', (_d, operation) => { operation.parameters!.push({ name: 'q', in: 'query', required: true }) }, `BREAKING: ${PUT} query q: a new parameter that is required`, `BREAKING: ${PUT} query q: the parameter is removed`],
  ['a query parameter becomes required', (_d, operation) => { operation.parameters![1]!.required = true }, `BREAKING: ${PUT} query sort: the parameter is now required`, `info: ${PUT} query sort: the parameter is no longer required`],
  ['a header is no longer read', (_d, operation) => { operation.parameters!.pop() }, `info: ${PUT} header if-match: the parameter is removed`, `info: ${PUT} header if-match: a new parameter`],
  ['a parameter takes fewer values', (_d, operation) => { operation.parameters![1]!.schema!.enum = ['x'] }, `BREAKING: ${PUT} query sort: no longer one of its values: "y"`, `info: ${PUT} query sort: new among its values: "y"`],
  ['a request type is narrowed', (_d, _o, sent) => { fields(sent).id!.type = 'integer' }, 'BREAKING: NewThing (in requests).id: type changed: string → integer', 'BREAKING: NewThing (in requests).id: type changed: integer → string'],
  ['a request no longer takes null', (_d, _o, sent) => { fields(sent).id!.type = ['string', 'null'] }, 'info: NewThing (in requests).id: type widened: string → string or null', 'BREAKING: NewThing (in requests).id: type narrowed: string or null → string'],
  ['a request enum loses a value', (_d, _o, sent) => { fields(sent).kind!.enum = ['a'] }, 'BREAKING: NewThing (in requests).kind: no longer one of its values: "b"', 'info: NewThing (in requests).kind: new among its values: "b"'],
  ['a request field gets an enum', (_d, _o, sent) => { fields(sent).note!.enum = ['n'] }, 'BREAKING: NewThing (in requests).note: only these values now: "n"', 'info: NewThing (in requests).note: any value now, not only "n"'],
  ['a request text gets shorter', (_d, _o, sent) => { fields(sent).note!.maxLength = 5 }, 'BREAKING: NewThing (in requests).note: maxLength narrowed: 10 → 5', 'info: NewThing (in requests).note: maxLength widened: 5 → 10'],
  ['a request number gets a higher bound below', (_d, _o, sent) => { fields(sent).count!.minimum = 2 }, 'BREAKING: NewThing (in requests).count: minimum narrowed: 1 → 2', 'info: NewThing (in requests).count: minimum widened: 2 → 1'],
  ['a request text gets a pattern', (_d, _o, sent) => { fields(sent).note!.pattern = '^a' }, 'BREAKING: NewThing (in requests).note: pattern narrowed: any → ^a', 'info: NewThing (in requests).note: pattern widened: ^a → any'],
  ['a request list gets shorter', (_d, _o, sent) => { fields(sent).tags!.maxItems = 2 }, 'BREAKING: NewThing (in requests).tags: maxItems narrowed: 3 → 2', 'info: NewThing (in requests).tags: maxItems widened: 2 → 3'],
  ['the items of a request list change', (_d, _o, sent) => { fields(sent).tags!.items = { type: 'string', minLength: 1 } }, 'BREAKING: NewThing (in requests).tags[]: minLength narrowed: any → 1', 'info: NewThing (in requests).tags[]: minLength widened: 1 → any'],
  ['a request no longer takes unknown fields', (_d, _o, sent) => { sent.additionalProperties = true }, 'info: NewThing (in requests): unknown fields are possible now', 'BREAKING: NewThing (in requests): unknown fields are no longer taken as they are'],
  ['a body is required', (_d, operation) => { operation.requestBody!.required = false }, '', `BREAKING: ${PUT} body: the body is now required`],
  ['a body is no longer taken', (_d, operation) => { delete operation.requestBody }, `BREAKING: ${PUT} body: it takes no body any more`, `BREAKING: ${PUT} body: a body is required now`],
  ['a response field is removed', (_d, _o, _s, answered) => { delete fields(answered).note }, 'BREAKING: Thing (in responses).note: the field is removed', 'info: Thing (in responses).note: a new field'],
  ['a response field is no longer required', (_d, _o, _s, answered) => { answered.required = ['id'] }, 'BREAKING: Thing (in responses).kind: the field is no longer required', 'info: Thing (in responses).kind: the field is now required'],
  ['a response type is widened', (_d, _o, _s, answered) => { fields(answered).id!.type = ['string', 'null'] }, 'BREAKING: Thing (in responses).id: type widened: string → string or null', 'info: Thing (in responses).id: type narrowed: string or null → string'],
  ['a response number may be broken', (_d, _o, _s, answered) => { fields(answered).count!.type = 'number' }, 'BREAKING: Thing (in responses).count: type widened: integer → number', 'info: Thing (in responses).count: type narrowed: number → integer'],
  ['a response enum gains a value', (_d, _o, _s, answered) => { fields(answered).kind!.enum!.push('c') }, 'BREAKING: Thing (in responses).kind: new among its values: "c"', 'info: Thing (in responses).kind: no longer one of its values: "c"'],
  ['a response text gets longer', (_d, _o, _s, answered) => { fields(answered).note!.maxLength = 20 }, 'BREAKING: Thing (in responses).note: maxLength widened: 10 → 20', 'info: Thing (in responses).note: maxLength narrowed: 20 → 10'],
  ['a response has another alternative', document => { document.paths!['/others']!.get!.responses![200] = json({ anyOf: [{ type: 'string' }, { type: 'null' }, { type: 'integer' }] }) }, 'BREAKING: GET /others 200: anyOf has more parts: 2 → 3', 'info: GET /others 200: anyOf has fewer parts: 3 → 2'],
  ['a scope is needed in addition', (_d, operation) => { operation.security = [{ token: ['things:write', 'admin'] }] }, `BREAKING: ${PUT}: security tightened: token things:write → token things:write admin`, `info: ${PUT}: security loosened: token things:write admin → token things:write`],
  ['a public operation is closed', document => { document.paths!['/others']!.get!.security = [{ token: [] }] }, 'BREAKING: GET /others: security tightened: anyone → token', 'info: GET /others: security loosened: token → anyone'],
  ['an operation is deprecated', (_d, operation) => { operation.deprecated = true }, `info: ${PUT}: it is deprecated now`, ''],
  ['a format that is a hint changes', (_d, _o, sent) => { fields(sent).note!.format = 'password' }, '', '']
]
for (const [name, change, there, back] of table) {
  t.test(name, async (t) => {
    const lines = said(change)
    t.same(lines.there, there === '' ? [] : [there])
    t.same(lines.back, back === '' ? [] : [back], 'the other way round')
  })
}

t.test('another name of a path parameter, another order and other words are no change', async (t) => {
  const { there } = said((document, operation) => {
    operation.parameters!.reverse()
    operation.parameters!.at(-1)!.name = 'thing'
    Object.assign(operation, { summary: 'Other words' })
    document.paths = { '/others': document.paths!['/others']!, '/things/{thing}': { put: operation } }
  })
  t.same(there, [])
})

t.test('a schema that holds itself is compared once', async (t) => {
  const tree = (label: Schema): Document => ({
    paths: { '/tree': { get: { responses: { 200: json({ $ref: '#/components/schemas/Tree' }) } } } },
    components: { schemas: { Tree: { type: 'object', properties: { label, children: { type: 'array', items: { $ref: '#/components/schemas/Tree' } } } } } }
  })
  t.same(compareDocuments(tree({ type: 'string' }), tree({ type: 'integer' })).map(({ at }) => at), ['Tree (in responses).label'])
})

t.test('a reference to nowhere is an error', async (t) => {
  const broken: Document = { paths: { '/x': { get: { responses: { 200: json({ $ref: '#/components/schemas/Gone' }) } } } } }
  t.throws(() => compareDocuments(broken, broken), /Gone is not in the document/)
})

t.test('what may break: a new major, or before 1.0 a new minor', async (t) => {
  for (const [from, to] of [['0.1.0', '0.2.0'], ['0.9.1', '1.0.0'], ['1.4.0', '2.0.0'], ['1.0.0', '2.0.0-rc.1']] as const) t.ok(mayBreak(from, to), `${from} ${to}`)
  for (const [from, to] of [['0.1.0', '0.1.1'], ['1.0.0', '1.1.0'], ['1.0.0', '1.0.0'], ['1.2.0', '0.3.0']] as const) t.notOk(mayBreak(from, to), `${from} ${to}`)
})

function folderWith (t: Test, version: string, change: (document: Document) => void): string {
  const folder = t.testdir()
  copyFileSync('openapi.json', join(folder, 'openapi.released.json'))
  const current = JSON.parse(readFileSync('openapi.json', 'utf8'))
  change(current)
  current.info.version = version
  writeFileSync(join(folder, 'openapi.json'), JSON.stringify(current))
  return folder
}

t.test('the check names what breaks, one line each, and fails', async (t) => {
  const folder = folderWith(t, '99.0.0', document => { delete document.paths!['/products'] })
  const { lines, code } = checkContract(folder, false)
  t.equal(code, 1)
  t.match(lines, ['BREAKING: GET /products: the operation is removed', 'BREAKING: POST /products: the operation is removed', /^2 breaking, 0 other changes/])
})

t.test('a release needs a version that may break, and is then what is compared with', async (t) => {
  const remove = (document: Document) => { delete document.paths!['/products'] }
  t.equal(checkContract(folderWith(t, JSON.parse(readFileSync('package.json', 'utf8')).version, remove), true).code, 1)
  const folder = folderWith(t, '99.0.0', remove)
  t.equal(checkContract(folder, true).code, 0)
  t.match(checkContract(folder, false), { code: 0, lines: [/^0 breaking, 0 other/] })
})

t.test('a fork that never released has nothing to compare with: the check passes and says so, and the first release is always taken', async (t) => {
  const folder = folderWith(t, '0.1.0', () => {})
  rmSync(join(folder, 'openapi.released.json'))
  t.match(checkContract(folder, false), { code: 0, lines: [/^nothing to compare with: .* npm run openapi:release/] })
  t.equal(checkContract(folder, true).code, 0)
  t.match(checkContract(folder, false), { code: 0, lines: [/^0 breaking, 0 other/] })
})

import { readFileSync } from 'node:fs'
import specs from '@asyncapi/specs'
import { Ajv } from 'ajv'
import formats from 'ajv-formats'
import t from 'tap'
import { documents } from '../../kit/openapi-document.ts'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const { asyncapi } = await documents()

interface Document {
  channels: Record<string, { messages: Record<string, { $ref: string }> }>
  operations: Record<string, { action: string, messages: { $ref: string }[] }>
  components: { messages: Record<string, { payload: object, examples?: { payload: unknown }[] }> }
}

t.test('asyncapi.json is what the code says: npm run openapi writes it', async t => {
  t.equal(readFileSync('asyncapi.json', 'utf8'), asyncapi)
})

t.test('it is an AsyncAPI 3 document', async t => {
  // The schema has that of JSON Schema in it: Ajv must not bring its own.
  const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false })
  formats.default(ajv)
  const isValid = ajv.validate(specs.schemas['3.0.0'], JSON.parse(asyncapi))
  t.ok(isValid, ajv.errorsText(ajv.errors))
})

t.test('every reference leads somewhere', async t => {
  const document = JSON.parse(asyncapi) as object
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path = '']) => path)
  t.ok(references.length > 20)
  for (const path of new Set(references)) {
    const target = path.split('/').reduce<unknown>((node, name) => (node as Record<string, unknown> | undefined)?.[name], document)
    t.type(target, 'object', path)
  }
})

t.test('every message is sent or received by an operation, and its examples fit', async t => {
  const document = JSON.parse(asyncapi) as Document
  const used = new Set(JSON.stringify(document.operations).match(/messages\/[\w.]+/g))
  const ajv = new Ajv({ strict: false })
  formats.default(ajv)
  ajv.addSchema(document, 'asyncapi.json')
  for (const [name, { examples = [] }] of Object.entries(document.components.messages)) {
    t.ok(used.has(`messages/${name}`), name)
    for (const { payload } of examples) t.ok(ajv.validate(`asyncapi.json#/components/messages/${name}/payload`, payload), `${name}: ${ajv.errorsText()}`)
  }
})

t.test('/asyncapi.json is public, and can be switched off', async t => {
  const on = await buildApp(t)
  t.same((await on.inject('/asyncapi.json')).json(), JSON.parse(asyncapi))
  const off = await buildApp(t, { DOCS: 'off' })
  t.equal((await off.inject('/asyncapi.json')).statusCode, 404)
})

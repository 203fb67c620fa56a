import { readFileSync } from 'node:fs'
import t from 'tap'
import { documents } from '../../kit/openapi-document.ts'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const { openapi } = await documents()

t.test('openapi.json is what the code says: npm run openapi writes it', async (t) => {
  t.equal(readFileSync('openapi.json', 'utf8'), openapi)
})

t.test('every operation says what it is and what it answers', async (t) => {
  const document = JSON.parse(openapi)
  const ids = new Set<string>()
  for (const [path, operations] of Object.entries<Record<string, Operation>>(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const name = `${method} ${path}`
      t.match(operation, { operationId: /^[a-z][A-Za-z]+$/, summary: /.{5,}/, tags: [/.+/] }, name)
      t.ok(operation.security, `${name}: security`)
      t.notOk(ids.has(operation.operationId), `${name}: operationId is its own`)
      ids.add(operation.operationId)
      for (const [status, { description, content, $ref }] of Object.entries(operation.responses)) {
        t.ok($ref ?? description, `${name} ${status}: description`)
        t.ok($ref ?? content ?? ['101', '204', '304'].includes(status), `${name} ${status}: schema`)
      }
      for (const { example, examples, schema } of Object.values(operation.requestBody?.content ?? {})) {
        const target = schema?.$ref ? document.components.schemas[schema.$ref.split('/').at(-1) ?? ''] : schema
        t.ok(example ?? examples ?? target?.examples ?? target?.example, `${name}: example of the body`)
      }
    }
  }
  t.ok(ids.size > 20)
})

interface Operation {
  operationId: string
  security?: object[]
  responses: Record<string, { description?: string, content?: object, $ref?: string }>
  requestBody?: { content: Record<string, { example?: unknown, examples?: unknown, schema?: { $ref?: string, examples?: unknown[], example?: unknown } }> }
}

t.test('components carry the names of the domain', async (t) => {
  const names = Object.keys(JSON.parse(openapi).components.schemas)
  t.ok(['Product', 'ProductPage', 'Problem', 'User', 'Money'].every(name => names.includes(name)), names.join())
  t.same(names.filter(name => name.startsWith('def-')), [])
})

t.test('/openapi.json and the page are public, and can be switched off', async (t) => {
  const on = await buildApp(t)
  t.equal((await on.inject('/openapi.json')).json().openapi.slice(0, 3), '3.1')
  t.equal((await on.inject('/docs/')).statusCode, 200)
  const off = await buildApp(t, { DOCS: 'off' })
  t.equal((await off.inject('/openapi.json')).statusCode, 404)
  t.equal((await off.inject('/docs/')).statusCode, 404)
})

t.test('the page has a strict policy of its own and names no other host', async (t) => {
  const app = await buildApp(t)
  const page = await app.inject('/docs/')
  const policy = String(page.headers['content-security-policy'])
  t.match(policy, /default-src 'none'/)
  t.match(policy, /script-src 'self';/)
  t.notMatch(policy, /https?:|upgrade-insecure-requests/)
  const files = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file = '']) => file)
  t.ok(files.length > 3)
  for (const file of files) {
    t.notMatch(file, /^(https?:)?\/\//)
    const { statusCode } = await app.inject(new URL(file, 'http://localhost/docs/').pathname)
    t.equal(statusCode, 200, file)
  }
})

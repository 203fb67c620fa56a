import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const body = Type.Object({ text: Type.String() }, { additionalProperties: false })

function echo (app: FastifyInstance): void {
  app.post('/echo', { config: { public: true }, schema: { hide: true, body } }, async request => request.body)
  app.post('/form', { config: { public: true }, schema: { hide: true, body, consumes: ['application/x-www-form-urlencoded'] } }, async request => request.body)
  app.patch('/patch', { config: { public: true }, schema: { hide: true, body } }, async request => request.body)
  app.post('/any', { config: { public: true }, schema: { hide: true, body: {} } }, async request => request.body)
  app.route({ method: ['POST', 'DELETE'], url: '/none', config: { public: true }, schema: { hide: true }, handler: async request => ({ body: request.body ?? null }) })
  app.post('/small', { config: { public: true }, bodyLimit: 10, schema: { hide: true, body } }, async request => request.body)
}

const post = (app: FastifyInstance, payload: string | Buffer, type: string | undefined = 'application/json', url = '/echo') =>
  app.inject({ method: 'POST', url, payload, headers: type === '' ? {} : { 'content-type': type } })

const app = await buildApp(t, {}, echo)

t.test('JSON is taken with and without a charset', async (t) => {
  for (const type of ['application/json', 'application/json; charset=utf-8', 'application/json; charset=utf8', 'Application/JSON;charset="UTF-8"']) {
    t.equal((await post(app, '{"text":"ä"}', type)).json().text, 'ä', type)
  }
})

const malformed: [string, string | Buffer][] = [
  ['broken JSON', '{"text":'],
  ['an empty body', ''],
  ['trailing garbage', '{"text":"a"} x'],
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0x74, 0x65, 0x78, 0x74, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d])],
  ['__proto__', '{"text":"a","__proto__":{"x":1}}'],
  ['constructor.prototype', '{"text":"a","constructor":{"prototype":{"x":1}}}'],
  ['an array', '[]'],
  ['null', 'null'],
  ['an unknown field', '{"text":"a","more":1}'],
  ['a NUL character', '{"text":"a\\u0000b"}'],
  ['half a surrogate pair', '{"text":"\\ud800"}'],
  ['very deep nesting', `{"text":${'['.repeat(100_000)}${']'.repeat(100_000)}}`]
]
for (const [name, payload] of malformed) {
  t.test(`${name} is a 400 problem`, async (t) => {
    const response = await post(app, payload)
    t.equal(response.statusCode, 400, response.body.slice(0, 300))
    t.equal(response.headers['content-type'], 'application/problem+json')
  })
}

t.test('an escaped backslash before u0000 is text like any other', async (t) => {
  t.equal((await post(app, '{"text":"\\\\u0000"}')).json().text, '\\u0000')
})

t.test('NUL is refused in a query and in a form as well', async (t) => {
  t.match((await app.inject('/products?q=a%00b')).json().errors, [{ pointer: '#/query/q' }])
  t.match((await post(app, 'text=a%00b', 'application/x-www-form-urlencoded', '/form')).json().errors, [{ pointer: '#/body/text' }])
})

t.test('strings are looked at only in what fits the schema, and in a body that may offend', async (t) => {
  const response = await post(app, `[${'"\\u0000",'.repeat(1000)}0]`)
  t.equal(response.statusCode, 400)
  t.match(response.json().errors, [{ pointer: '#/body', detail: 'must be object' }])
  t.equal((await post(app, '{"text":"\\ud83d\\ude00 \\u0041"}')).json().text, '😀 A')
})

t.test('the place of an unstorable string is named', async (t) => {
  const response = await post(app, '{"list":[1,{"a/b":["fine",{"c":"\\ud800"}]}]}', 'application/json', '/any')
  t.match(response.json().errors, [{ pointer: '#/body/list/1/a~1b/1/c' }])
  t.equal((await post(app, '"\\u0000"', 'application/json', '/any')).json().errors[0].pointer, '#/body')
})

t.test('a form has a thousand fields at the most', async (t) => {
  for (const field of ['a=1', '']) {
    const response = await post(app, `${field}&`.repeat(1000), 'application/x-www-form-urlencoded', '/form')
    t.match(response.json(), { status: 400, code: 'MALFORMED_BODY' })
  }
  t.equal((await post(app, `text=a${'&x=1'.repeat(999)}`, 'application/x-www-form-urlencoded', '/form')).json().code, 'VALIDATION_FAILED')
})

const ignored: [string, Record<string, string>, string][] = [
  ['JSON', { 'content-type': 'application/json' }, '{"a":1}'],
  ['broken JSON', { 'content-type': 'application/json' }, '{'],
  ['JSON that is empty', { 'content-type': 'application/json', 'content-length': '0' }, ''],
  ['JSON that is empty, in chunks', { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }, ''],
  ['text', { 'content-type': 'text/plain' }, 'hello'],
  ['what has no type', {}, 'hello'],
  ['what has a malformed type', { 'content-type': 'x' }, 'hello'],
  ['what is encoded', { 'content-type': 'application/json', 'content-encoding': 'bogus' }, 'hello'],
  ['more than the limit', { 'content-type': 'application/json' }, 'x'.repeat(2 * 1024 * 1024)]
]
for (const [name, headers, payload] of ignored) {
  t.test(`where no body is read, ${name} is ignored`, async (t) => {
    for (const method of ['POST', 'DELETE'] as const) {
      const response = await app.inject({ method, url: '/none', headers, payload })
      t.same(response.json(), { body: null }, method)
    }
    t.equal((await app.inject({ method: 'POST', url: '/nowhere', headers, payload })).statusCode, 404)
  })
}

const unsupported = [
  'text/plain', 'application/xml', 'application/json\ta', 'application/json garbage', 'application/jsonx', 'application/x-www-form-urlencoded',
  'application/json; charset=latin1', 'application/json; charset=utf-8; charset=latin1', 'multipart/form-data; boundary=x', 'application/merge-patch+json', ' ', 'application/json, text/plain'
]
for (const type of unsupported) {
  t.test(`content type "${type.replaceAll('\t', '\\t')}" is a 415 problem`, async (t) => {
    const response = await post(app, '{"text":"a"}', type)
    t.equal(response.statusCode, 415)
    t.equal(response.json().code, 'UNSUPPORTED_MEDIA_TYPE')
  })
}

t.test('a 415 names what is taken', async (t) => {
  t.equal((await post(app, 'x', 'text/plain')).headers['accept-post'], 'application/json')
  const patch = await app.inject({ method: 'PATCH', url: '/patch', payload: 'x', headers: { 'content-type': 'text/plain' } })
  t.equal(patch.statusCode, 415)
  t.equal(patch.headers['accept-patch'], 'application/json')
})

t.test('odd spellings of the content type are refused or fully validated', async (t) => {
  for (const type of ['APPLICATION/JSON', 'application/json ;charset=utf-8', 'application/json;;', 'application/json;', 'application/json\t; charset=utf-8']) {
    const { statusCode } = await post(app, '{"text":1}', type)
    t.ok([400, 415].includes(statusCode), `${type}: ${statusCode}`)
  }
})

t.test('a form is read where a route takes forms', async (t) => {
  t.same((await post(app, 'text=a+b%C3%A4', 'application/x-www-form-urlencoded', '/form')).json(), { text: 'a bä' })
  t.equal((await post(app, 'text=a&__proto__=b', 'application/x-www-form-urlencoded', '/form')).statusCode, 400)
  t.equal((await post(app, 'text=a&text=b', 'application/x-www-form-urlencoded', '/form')).statusCode, 400)
})

t.test('a body above the limit is a 413 problem', async (t) => {
  const large = JSON.stringify({ text: 'x'.repeat(1024 * 1024) })
  t.equal((await post(app, large)).statusCode, 413)
  const small = await post(app, '{"text":"more than ten"}', 'application/json', '/small')
  t.equal(small.statusCode, 413)
  t.equal(small.json().code, 'PAYLOAD_TOO_LARGE')
})

t.test('no route may take more than 10 MiB', async (t) => {
  await t.rejects(buildApp(t, {}, app => {
    app.post('/huge', { bodyLimit: 10 * 1024 * 1024 + 1, config: { public: true }, schema: { hide: true } }, async () => ({}))
  }), /bodyLimit is above 10 MiB/)
})

import t from 'tap'
import { asAdmin, bearer, buildApp, newProduct } from '../helpers/app.ts'

const app = await buildApp(t)
const admin = await asAdmin(app)
const read = (id: string, headers: Record<string, string> = {}) => app.inject({ url: `/products/${id}`, headers })
const change = (method: 'PATCH' | 'DELETE', id: string, ifMatch?: string, payload = method === 'PATCH' ? { stock: 5 } : undefined) =>
  app.inject({ method, url: `/products/${id}`, headers: { ...bearer(admin.token), ...ifMatch === undefined ? {} : { 'if-match': ifMatch } }, payload })

t.test('a product has a strong ETag, that of its version', async (t) => {
  const { id, etag } = await newProduct(app)
  t.equal(etag, '"1"')
  t.equal((await read(id)).headers.etag, etag)
  const changed = await change('PATCH', id, etag)
  t.equal(changed.headers.etag, '"2"')
  t.equal((await read(id)).headers.etag, '"2"')
})

t.test('the body that a strong ETag stands for is not compressed', async (t) => {
  const { id } = await newProduct(app, { description: 'long '.repeat(390) })
  const response = await read(id, { 'accept-encoding': 'br, gzip' })
  t.equal(response.headers['content-encoding'], undefined)
  t.ok(response.body.length > 1024)
})

t.test('who has the current version gets 304 and no body', async (t) => {
  const { id, etag } = await newProduct(app)
  for (const value of [etag, `W/${etag}`, '*', `"other", ${etag}`, `"a,b" , W/${etag}`, `"",${etag}`]) {
    const response = await read(id, { 'if-none-match': value })
    t.equal(response.statusCode, 304, value)
    t.equal(response.body, '')
    t.equal(response.headers.etag, etag)
  }
})

t.test('who has another version gets the product', async (t) => {
  const { id } = await newProduct(app)
  for (const value of ['"2"', '"other"', 'W/"11"', '"1 "'.replace(' ', '!')]) t.equal((await read(id, { 'if-none-match': value })).statusCode, 200, value)
})

t.test('without If-Match nothing is changed', async (t) => {
  const { id } = await newProduct(app)
  for (const method of ['PATCH', 'DELETE'] as const) {
    const response = await change(method, id)
    t.equal(response.statusCode, 428)
    t.equal(response.json().code, 'VERSION_REQUIRED')
  }
})

t.test('a stale version, a weak tag or one of others matches nothing', async (t) => {
  const { id, etag } = await newProduct(app)
  for (const value of ['"0"', '"2"', '"99999999999"', `W/${etag}`, '"other"', '""', '"01"', '"1e0"', '"-1"']) {
    for (const method of ['PATCH', 'DELETE'] as const) {
      const response = await change(method, id, value)
      t.equal(response.statusCode, 412, `${method} ${value}`)
      t.equal(response.json().code, 'STALE_VERSION')
    }
  }
  t.equal((await read(id)).headers.etag, etag)
})

t.test('one of a list, or * for any, is enough', async (t) => {
  const { id } = await newProduct(app)
  t.equal((await change('PATCH', id, '"7", "1"')).statusCode, 200)
  t.equal((await change('PATCH', id, '*')).statusCode, 200)
  t.equal((await change('DELETE', id, '"1","3"')).statusCode, 204)
})

t.test('what is no list of entity tags is refused', async (t) => {
  const { id } = await newProduct(app)
  for (const value of ['1', '"1', "'1'", '', '*, "1"', '"1" "2"', 'w/"1"', `"${'1'.repeat(1100)}"`]) {
    t.equal((await change('PATCH', id, value)).statusCode, 400, `If-Match: ${value}`)
    t.equal((await read(id, { 'if-none-match': value })).statusCode, 400, `If-None-Match: ${value}`)
  }
})

t.test('of many who change the same version, one succeeds', async (t) => {
  const { id, etag } = await newProduct(app)
  const responses = await Promise.all(Array.from({ length: 10 }, (_, stock) => change('PATCH', id, etag, { stock })))
  const winners = responses.filter(({ statusCode }) => statusCode === 200)
  t.equal(winners.length, 1)
  t.equal(responses.filter(({ statusCode }) => statusCode === 412).length, 9)
  t.equal((await read(id)).json().stock, winners[0]!.json().stock)
})

t.test('a patch that says nothing changes nothing, its version neither', async (t) => {
  const { id, etag } = await newProduct(app)
  const before = (await read(id)).json()
  for (const patch of [{}, { price: {} }] as { stock: number }[]) {
    const response = await change('PATCH', id, etag, patch)
    t.equal(response.statusCode, 200)
    t.equal(response.headers.etag, etag)
    t.same(response.json(), before)
    t.equal((await change('PATCH', id, '"2"', patch)).statusCode, 412)
  }
})

import { brotliDecompressSync, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { Readable } from 'node:stream'
import t from 'tap'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const config = { public: true }
const text = JSON.stringify({ text: 'keel '.repeat(1000) })
const app = await buildApp(t, {}, app => {
  app.get('/large', { config, schema: { hide: true } }, async (_request, reply) => reply.type('application/json').send(text))
})
const get = (accept: string | undefined) => app.inject({ url: '/large', headers: accept === undefined ? {} : { 'accept-encoding': accept } })

const encodings: [string, (bytes: Buffer) => Buffer][] = [['br', brotliDecompressSync], ['gzip', gunzipSync], ['zstd', zstdDecompressSync]]
for (const [name, unpack] of encodings) {
  t.test(`${name} is used when asked for`, async (t) => {
    const response = await get(name)
    t.equal(response.headers['content-encoding'], name)
    t.match(response.headers.vary, /accept-encoding/i)
    t.ok(response.rawPayload.length < text.length / 10)
    t.equal(unpack(response.rawPayload).toString(), text)
  })
}

t.test('brotli is preferred; without Accept-Encoding, and for one unknown, nothing is compressed', async (t) => {
  t.equal((await get('gzip, deflate, br')).headers['content-encoding'], 'br')
  for (const accept of [undefined, 'identity', 'bogus', '']) {
    const response = await get(accept)
    t.equal(response.statusCode, 200)
    t.notOk(response.headers['content-encoding'])
  }
})

t.test('what may be compressed says so to everyone, and what may not does not', async (t) => {
  for (const accept of [undefined, 'identity', 'br']) t.equal((await get(accept)).headers.vary, 'accept-encoding', String(accept))
  t.equal((await app.inject('/health/live')).headers.vary, undefined)
})

t.test('HEAD announces no length that GET would not have', async (t) => {
  const head = (headers: Record<string, string>) => app.inject({ method: 'HEAD', url: '/large', headers })
  const identity = await head({})
  t.equal(identity.headers['content-length'], String(text.length))
  const compressed = await head({ 'accept-encoding': 'br' })
  t.equal(compressed.statusCode, 200)
  t.equal(compressed.headers['content-length'], undefined)
  t.equal(compressed.headers.vary, identity.headers.vary)
})

t.test('small answers and event streams are left alone', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.get('/small', { config, schema: { hide: true } }, async () => ({ a: 1 }))
    app.get('/stream', { config, schema: { hide: true } }, async (_request, reply) => reply.type('text/event-stream').send(Readable.from(['data: x\n\n'.repeat(500)])))
  })
  for (const url of ['/small', '/stream']) {
    t.notOk((await app.inject({ url, headers: { 'accept-encoding': 'br' } })).headers['content-encoding'], url)
  }
})

const body = { type: 'object', properties: { text: { type: 'string' } } }
const echo = await buildApp(t, {}, app => {
  app.post('/packed', { decompress: {}, config, schema: { hide: true, body } }, async request => request.body)
  app.post('/plain', { config, schema: { hide: true, body } }, async request => request.body)
})
const send = (payload: string | Buffer, encoding: string, url = '/packed') =>
  echo.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json', 'content-encoding': encoding } })
const small = '{"text":"a"}'

t.test('a compressed body is unpacked where a route takes such, and counted unpacked', async (t) => {
  for (const encoding of ['gzip', 'GZIP', 'x-gzip', 'identity, gzip']) t.same((await send(gzipSync(small), encoding)).json(), { text: 'a' }, encoding)
  t.same((await send(zstdCompressSync(small), 'zstd')).json(), { text: 'a' })
  t.equal((await send(gzipSync(JSON.stringify({ text: 'x'.repeat(2 * 1024 * 1024) })), 'gzip')).statusCode, 413, 'a bomb')
  for (const encoding of ['bogus', 'gzip, gzip']) t.equal((await send(gzipSync(small), encoding)).statusCode, 415, encoding)
})

t.test('elsewhere it is not even unpacked', async (t) => {
  for (const encoding of ['gzip', 'zstd', 'bogus']) {
    const response = await send(gzipSync(small), encoding, '/plain')
    t.equal(response.statusCode, 415, encoding)
    t.equal(response.headers['accept-encoding'], 'identity')
  }
})

t.test('identity is no encoding', async (t) => {
  for (const url of ['/packed', '/plain']) {
    for (const encoding of ['identity', 'Identity', 'identity, identity']) t.same((await send(small, encoding, url)).json(), { text: 'a' }, `${url} ${encoding}`)
  }
})

import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import deprecation, { type Deprecation } from '../../plugins/deprecation.ts'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const declared: Deprecation = { since: '2026-11-01', sunset: '2027-05-01', link: 'https://example.com/moving on' }

interface Operation { deprecated?: boolean, responses: Record<string, { headers?: object }> }

t.test('the answers of a deprecated route say since when, until when and where to read on', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.get('/old', { config: { public: true, deprecated: declared }, schema: { hide: true } }, async () => ({}))
    app.get('/old-list', { config: { public: true, deprecated: declared }, schema: { hide: true } }, async (_request, reply) => {
      reply.header('link', '</old-list?cursor=x>; rel="next"')
      return {}
    })
    app.get('/old-closed', { config: { scopes: [], deprecated: { since: '2026-11-01', sunset: '2027-05-01' } }, schema: { hide: true } }, async () => ({}))
  })
  const { headers } = await app.inject('/old')
  t.equal(headers.deprecation, '@1793491200')
  t.equal(headers.sunset, 'Sat, 01 May 2027 00:00:00 GMT')
  t.equal(headers.link, '<https://example.com/moving%20on>; rel="deprecation"; type="text/html"')

  t.same((await app.inject({ method: 'HEAD', url: '/old' })).headers.link, headers.link, 'HEAD says it once, too')
  t.equal((await app.inject('/old-list')).headers.link, '</old-list?cursor=x>; rel="next", <https://example.com/moving%20on>; rel="deprecation"; type="text/html"')

  const refused = await app.inject('/old-closed')
  t.equal(refused.statusCode, 401)
  t.equal(refused.headers.deprecation, '@1793491200', 'errors say it as well')
  t.equal(refused.headers.link, undefined)

  const { headers: others } = await app.inject('/health/live')
  t.same([others.deprecation, others.sunset, others.link], [undefined, undefined, undefined])
})

t.test('the OpenAPI document marks the operation and its headers', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.get('/old', { config: { public: true, deprecated: declared }, schema: { response: { 200: { type: 'object' } } } }, async () => ({}))
  })
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> }
  const old = paths['/old']?.get
  t.equal(old?.deprecated, true)
  for (const status of ['200', '500']) t.match(old?.responses[status]?.headers, { Deprecation: {}, Sunset: {} }, status)
  t.equal(paths['/products']?.get?.deprecated, undefined)
  t.notOk(Object.hasOwn(paths['/products']?.get?.responses['200']?.headers ?? {}, 'Deprecation'))
})

t.test('a path of the service serves as the link', async (t) => {
  const app = await withRoute({ ...declared, link: '/docs/#old' })
  t.equal((await app.inject('/old')).headers.link, '</docs/#old>; rel="deprecation"; type="text/html"')
})

t.test('days that are none stop the start', async (t) => {
  for (const wrong of [{ since: '2026-02-30' }, { sunset: 'soon' }, { since: '2026-11-01T00:00:00Z' }, { sunset: '' }, { since: '2027-06-01' }]) {
    await t.rejects(withRoute({ ...declared, ...wrong }), /GET \/old: /, JSON.stringify(wrong))
  }
})

async function withRoute (deprecated: Deprecation): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(deprecation)
  app.get('/old', { config: { deprecated } }, async () => ({}))
  await app.ready()
  return app
}

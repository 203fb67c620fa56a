import { readFileSync } from 'node:fs'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { collectRoutes, routeList } from '../../kit/route-list.ts'

interface Operation { operationId: string, security: { accessToken?: string[] }[] }

t.test('every operation of openapi.json is listed, with the same say of who may call', async (t) => {
  const { paths } = JSON.parse(readFileSync('openapi.json', 'utf8')) as { paths: Record<string, Record<string, Operation>> }
  const documented = Object.entries(paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, { operationId, security }]) => {
    const scopes = security[0]?.accessToken ?? null
    return { method: method.toUpperCase(), path: path.replaceAll(/\{(\w+)\}/g, ':$1'), operationId, public: scopes === null, scopes }
  }))
  const listed = (await routeList()).filter(({ operationId }) => operationId !== null)
  const byId = (a: { operationId: string | null }, b: { operationId: string | null }) => String(a.operationId).localeCompare(String(b.operationId))
  t.same(listed.sort(byId), documented.sort(byId))
})

t.test('so is what the document leaves out', async (t) => {
  const hidden = (await routeList()).filter(({ operationId }) => operationId === null)
  t.match(hidden.find(({ path }) => path === '/openapi.json'), { method: 'GET', public: true })
})

t.test('each method of a route has a line, in the order of the paths; HEAD and OPTIONS have none', async (t) => {
  const fastify = Fastify() as unknown as FastifyInstance
  const routes = collectRoutes(fastify)
  fastify.route({ method: ['PUT', 'GET', 'OPTIONS'], url: '/b', config: { scopes: [] }, handler: async () => ({}) })
  fastify.get('/a', { config: { public: true } }, async () => ({}))
  await fastify.ready()
  const line = (method: string, path: string) => ({ method, path, operationId: null })
  t.same(routes(), [{ ...line('GET', '/a'), public: true, scopes: null }, { ...line('GET', '/b'), public: false, scopes: [] }, { ...line('PUT', '/b'), public: false, scopes: [] }])
  await fastify.close()
})

import t from 'tap'
import { documents } from '../../kit/openapi-document.ts'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const { openapi } = await documents()

interface Operation { responses: Record<string, { headers?: Record<string, object> }> }

t.test('the document promises Location on every 201 and Retry-After on every 429 and 503', async (t) => {
  const { paths } = JSON.parse(openapi) as { paths: Record<string, Record<string, Operation>> }
  const needed: Record<string, string> = { 201: 'Location', 429: 'Retry-After', 503: 'Retry-After' }
  let seen = 0
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { responses }] of Object.entries(operations)) {
      for (const [status, header] of Object.entries(needed)) {
        if (!responses[status]) continue
        seen++
        t.ok(responses[status].headers?.[header], `${method} ${path} ${status}: ${header}`)
      }
    }
  }
  t.ok(seen > 40)
})

t.test('503 has Retry-After whoever answers it; who knows better says how long', async (t) => {
  const error = Object.assign(new Error('later'), { statusCode: 503 })
  const app = await buildApp(t, {}, app => {
    const options = { config: { public: true }, schema: { hide: true } }
    app.get('/thrown', options, async () => { throw error })
    app.get('/said', options, async (_request, reply) => reply.problem(503))
    app.get('/longer', options, async (_request, reply) => reply.header('retry-after', '60').problem(503))
    app.addHealthCheck('never', async () => ({ ok: false }))
  })
  const wait = async (url: string) => {
    const { statusCode, headers } = await app.inject(url)
    t.equal(statusCode, 503, url)
    return headers['retry-after']
  }
  t.equal(await wait('/thrown'), '2')
  t.equal(await wait('/said'), '2')
  t.equal(await wait('/longer'), '60')
  t.equal(await wait('/health/ready'), '5')
})

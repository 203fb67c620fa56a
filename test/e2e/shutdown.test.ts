import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { until } from '../helpers/until.ts'
import { answers, copyOfCheckout, startService } from '../helpers/process.ts'
import { createProxy } from '../helpers/proxy.ts'
import { plainDatabase } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''

const folder = copyOfCheckout(t)
mkdirSync(join(folder, 'routes/trouble'), { recursive: true })
writeFileSync(join(folder, 'routes/trouble/index.ts'), `
export default async function trouble (fastify) {
  const open = { config: { public: true }, schema: { hide: true } }
  fastify.get('/slow', open, async request => {
    request.log.info('slow begins')
    await new Promise(resolve => setTimeout(resolve, 1_500))
    return { done: true }
  })
  fastify.get('/never', open, async request => {
    request.log.info('never begins')
    await new Promise(() => {})
  })
  fastify.get('/crash', open, async () => {
    setTimeout(() => { throw new Error('nobody catches this') })
    return {}
  })
}
`)

t.test('SIGTERM lets a request under way finish, and exits with 0', async t => {
  const service = await startService(t, folder)
  const answer = fetch(`${service.url}/trouble/slow`)
  await until(() => /slow begins/.test(service.output()))
  const stopped = service.stop('SIGTERM')
  t.same(await (await answer).json(), { done: true })
  t.equal((await stopped).code, 0)
})

t.test('what does not end within the grace is named, and the exit status is 1', async t => {
  const service = await startService(t, folder, { SHUTDOWN_GRACE_MS: '300' }, 200, 'kit/serve')
  const answer = fetch(`${service.url}/trouble/never`).catch((error: unknown) => error)
  await until(() => /never begins/.test(service.output()))
  const { code, output } = await service.stop('SIGTERM')
  t.ok(await answer instanceof Error)
  t.match(output, /GET \/trouble\/never/)
  t.equal(code, 1)
})

t.test('a second signal ends it at once', async t => {
  const service = await startService(t, folder, { SHUTDOWN_GRACE_MS: '600000' }, 200, 'kit/serve')
  const answer = fetch(`${service.url}/trouble/never`).catch((error: unknown) => error)
  await until(() => /never begins/.test(service.output()))
  const stopped = service.stop('SIGTERM')
  await until(async () => !await answers(`${service.url}/health/ready`, 200))
  // It has come, and the same signal within half a second would be npm's copy of it (kit/signals.ts).
  await sleep(600)
  void service.stop('SIGTERM')
  t.equal((await stopped).code, 1)
  t.ok(await answer instanceof Error)
})

t.test('an error that nobody catches is logged; what is under way finishes, and the exit status is 1', async t => {
  const service = await startService(t, folder, {}, 200, 'kit/serve')
  const answer = fetch(`${service.url}/trouble/slow`)
  await until(() => /slow begins/.test(service.output()))
  t.ok(await answers(`${service.url}/trouble/crash`, 200))
  t.same(await (await answer).json(), { done: true })
  const { code, output } = await service.ended()
  t.match(output, /nobody catches this/)
  t.equal(code, 1)
})

t.test('a database that hangs does not keep it', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async t => {
  const proxy = await createProxy(t, await plainDatabase(t, server))
  await proxy.open()
  const service = await startService(t, folder, { DATABASE_URL: proxy.url, REQUEST_TIMEOUT_MS: '1000' })
  await fetch(`${service.url}/products`)
  proxy.silence()
  const answer = fetch(`${service.url}/products`)
  await sleep(100)
  const stopped = service.stop('SIGTERM')
  t.equal((await answer).status, 503)
  const { code, output } = await stopped
  t.equal(code, 0, output)
})

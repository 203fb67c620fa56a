import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import appPlugin from '../../app.ts'
import type { Config } from '../../plugins/config/index.ts'
import { serverOptions } from '../../server.ts'
import { testConfig } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'

interface Line { msg: string, open?: Record<string, string[]> }
interface Service { app: FastifyInstance, url: string, port: number, lines: Line[], isSlow: () => boolean, release: () => void }

/** The service, listening, with a public route `/slow` that answers when it is released. */
async function listening (t: Test, overrides: Partial<Config> = {}): Promise<Service> {
  const lines: Line[] = []
  const config = await testConfig({ LOG_LEVEL: 'info', ...overrides })
  const options = serverOptions(config)
  const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => { lines.push(JSON.parse(String(chunk))); done() } })
  const app = Fastify({ ...options, logger: { ...options.logger as object, stream } }) as unknown as FastifyInstance
  let isSlow = false
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  await app.register(appPlugin, { config })
  app.get('/slow', { config: { public: true }, schema: { hide: true } }, async () => {
    isSlow = true
    await released
    return { done: true }
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    release()
    await app.close().catch(() => {})
  })
  return { app, url, port: (app.server.address() as AddressInfo).port, lines, isSlow: () => isSlow, release }
}

const isReady = async ({ url }: Service) => (await fetch(`${url}/health/ready`)).status === 200
const isSlow = async (service: Service) => await until(service.isSlow)

t.test('during the delay it is not ready, and serves new connections, each for one request', async t => {
  const service = await listening(t, { SHUTDOWN_DELAY_MS: 8_000 })
  t.ok(await isReady(service))
  void service.app.close()
  await until(async () => !await isReady(service))
  const ready = await fetch(`${service.url}/health/ready`)
  t.equal(ready.status, 503)
  t.ok(ready.headers.get('retry-after'))
  const products = await fetch(`${service.url}/products`)
  t.equal(products.status, 200)
  t.equal(products.headers.get('connection'), 'close')
  t.equal((await fetch(`${service.url}/health/live`)).status, 200)
})

t.test('after the delay it takes no connections, answers what is under way, and closes', async t => {
  const service = await listening(t, { SHUTDOWN_DELAY_MS: 20 })
  const answer = fetch(`${service.url}/slow`)
  await isSlow(service)
  const closed = service.app.close()
  await until(async () => await fetch(`${service.url}/health/live`).then(() => false, () => true))
  service.release()
  const response = await answer
  t.equal(response.headers.get('connection'), 'close')
  t.same(await response.json(), { done: true })
  await closed
  t.notOk(service.lines.some(({ open }) => open))
})

t.test('what takes longer than the grace is named and cut off, and the close fails', async t => {
  const service = await listening(t, { SHUTDOWN_GRACE_MS: 50 })
  const answer = fetch(`${service.url}/slow`)
  await isSlow(service)
  const [cut, closed] = await Promise.allSettled([answer, service.app.close()])
  t.equal(cut.status, 'rejected')
  t.match(closed, { status: 'rejected', reason: /longer than 50 ms/ })
  t.same(service.lines.find(({ open }) => open)?.open, { requests: ['GET /slow'] })
})

t.test('a request whose client has gone is not waited for', async t => {
  const service = await listening(t)
  const socket = connect(service.port, '127.0.0.1', () => socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n'))
  await isSlow(service)
  socket.destroy()
  await service.app.close()
  t.notOk(service.lines.some(({ open }) => open))
})

t.test('without a balancer in front there is no delay', async t => {
  const worker = await listening(t, { ROLE: 'worker', SHUTDOWN_DELAY_MS: 600_000 })
  await worker.app.close()
  const config = await testConfig({ SHUTDOWN_DELAY_MS: 600_000 })
  const silent = Fastify(serverOptions(config)) as unknown as FastifyInstance
  await silent.register(appPlugin, { config })
  await silent.ready()
  await silent.close()
  t.pass('neither a worker nor a service that does not listen waits')
})

t.test('whatever else has to end is named, too, up to a number', async t => {
  const service = await listening(t, { SHUTDOWN_GRACE_MS: 50 })
  service.app.shutdown.watch('things', () => Array.from({ length: 100 }, (_, n) => `thing ${n}`))
  const answer = fetch(`${service.url}/slow`).catch(() => {})
  await isSlow(service)
  await t.rejects(service.app.close(), /longer than/)
  await answer
  t.equal(service.lines.find(({ open }) => open)?.open?.things?.length, 20)
})

t.test('a connection whose answer had begun before is not kept alive after it', async t => {
  const service = await listening(t, { SHUTDOWN_GRACE_MS: 600_000 })
  const { promise: more, resolve } = Promise.withResolvers<void>()
  service.app.server.prependListener('request', (request, response) => {
    if (request.url !== '/health/live') return
    const end = response.end.bind(response)
    response.end = (...args: unknown[]) => {
      response.flushHeaders()
      void more.then(() => (end as (...args: unknown[]) => void)(...args))
      return response
    }
  })
  const response = await fetch(`${service.url}/health/live`)
  const closed = service.app.close()
  await until(async () => !service.app.server.listening)
  resolve()
  t.equal(response.headers.get('connection'), 'keep-alive')
  t.same(await response.json(), { status: 'ok' })
  await closed
})

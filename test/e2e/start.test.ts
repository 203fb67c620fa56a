import { writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { firstProduct } from '../helpers/first-product.ts'
import { call, copyOfCheckout, freePort, run, startService } from '../helpers/process.ts'

const folder = copyOfCheckout(t, { fresh: true })

t.test('npm start on a fresh checkout serves a first product and a first user, and keeps them', async (t) => {
  const first = await startService(t, folder)
  t.match(first.output(), /Applied migration/)
  t.match(first.output(), new RegExp(`${first.url}/docs`))
  t.match(first.output(), /admin@example\.com/)
  const { path, email, token } = await firstProduct(t, first)
  t.equal((await first.stop('SIGTERM')).code, 0)

  const second = await startService(t, folder)
  t.notMatch(second.output(), /Applied|Installing/, 'nothing is set up again')
  t.equal((await call(`${second.url}/users/me`, { token })).body.email, email)
  t.equal((await call(`${second.url}${path}`)).body.stock, 1)
  t.equal((await second.stop('SIGINT')).code, 0)
})

t.test('what is committed survives kill -9', async (t) => {
  const first = await startService(t, folder)
  const { path, token } = await firstProduct(t, first)
  await first.stop('SIGKILL')
  const second = await startService(t, folder)
  t.equal((await call(`${second.url}/users/me`, { token })).status, 200)
  t.equal((await call(`${second.url}${path}`)).body.stock, 1)
  await second.stop()
})

const failsToStart = async (env: Record<string, string>) => {
  const { code, output } = await run(folder, 'npm', ['start', '--silent'], { PORT: String(await freePort()), DATA_DIR: join(folder, 'other'), ...env })
  return { code, output, hasStack: /\n +at .*:\d+/.test(output) }
}

t.test('bad settings end the start with all of them named and no stack', async (t) => {
  const { code, output, hasStack } = await failsToStart({ PORT: 'abc', JWT_ISSUER: '' })
  t.equal(code, 1)
  t.match(output, /PORT: expected a whole number, got "abc"[^]*JWT_ISSUER: is empty/)
  t.notOk(hasStack)
})

t.test('production does not start without its secrets', async (t) => {
  const { code, output } = await failsToStart({ NODE_ENV: 'production' })
  t.equal(code, 1)
  t.match(output, /DATABASE_URL: must be set[^]*JWT_PRIVATE_KEY: must be set/)
})

t.test('a port in use is said in one line', async (t) => {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { code, output, hasStack } = await failsToStart({ PORT: String(port) })
  t.equal(code, 1)
  t.match(output, new RegExp(`Port ${port} on 127.0.0.1 is in use`))
  t.notOk(hasStack)
})

t.test('a data folder that another instance holds is said with its holder', async (t) => {
  const running = await startService(t, folder)
  const { code, output, hasStack } = await failsToStart({ DATA_DIR: join(folder, '.data') })
  t.equal(code, 1)
  t.match(output, /is in use by process \d+/)
  t.notOk(hasStack)
  t.equal((await call(`${running.url}/health/ready`)).status, 200, 'the holder is not disturbed')
  await running.stop()
})

t.test('a data folder that cannot be used is said in one line', async (t) => {
  writeFileSync(join(folder, 'a-file'), '')
  const { code, output, hasStack } = await failsToStart({ DATA_DIR: join(folder, 'a-file') })
  t.equal(code, 1)
  t.match(output, /The data folder .* is not a folder: set DATA_DIR/)
  t.notOk(hasStack)
})

const badUrls: [name: string, url: string, said: RegExp][] = [
  ['malformed', 'postgresql://host:port:5432/x', /DATABASE_URL: expected a URL|malformed/],
  ['of another database', 'mysql://root@127.0.0.1/x', /DATABASE_URL: expected a URL/],
  ['unreachable', 'postgresql://user:hunter2@127.0.0.1:1/x', /Can't reach the database server at 127\.0\.0\.1:1/],
  ['of an unknown host', 'postgresql://user:hunter2@no-such-host.invalid/x', /no-such-host\.invalid.*(unknown|doesn't answer)/]
]
for (const [name, url, said] of badUrls) {
  t.test(`a database URL that is ${name} ends the start in one line, without its password`, async (t) => {
    const { code, output, hasStack } = await failsToStart({ DATABASE_URL: url })
    t.equal(code, 1)
    t.match(output, said)
    t.notMatch(output, /hunter2/)
    t.notOk(hasStack, output)
  })
}

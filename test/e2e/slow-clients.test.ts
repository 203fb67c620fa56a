// Clients that send their requests byte by byte, as slowhttptest does, to hold every connection there is.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import t from 'tap'
import { answers, copyOfCheckout, run, startService } from '../helpers/process.ts'

const TOOL = '/usr/bin/slowhttptest'
const CONNECTIONS = '300'
const SECONDS = '30'
/** That takes a body. */
const PUBLIC_ROUTE = "export default async fastify => fastify.post('', { config: { public: true }, schema: { hide: true, body: { type: 'object' } } }, async () => ({}))\n"

t.test('the service and slow clients', { skip: !existsSync(TOOL) && 'slowhttptest is not installed' }, async t => {
  const folder = copyOfCheckout(t)
  mkdirSync(join(folder, 'routes/notes'))
  writeFileSync(join(folder, 'routes/notes/index.ts'), PUBLIC_ROUTE)
  const service = await startService(t, folder, { REQUEST_TIMEOUT_MS: '4000', RATE_LIMIT_MAX: '1000000' })
  for (const [mode, flags, url] of [
    ['headers', ['-H'], `${service.url}/products`],
    ['body', ['-B', '-s', '8192', '-t', 'POST', '-f', 'application/json'], `${service.url}/notes`]
  ] as const) {
    await t.test(`whose ${mode} take for ever are cut off, and others are answered`, async t => {
      const over = new AbortController()
      const others = (async () => {
        const statuses = []
        while (!over.signal.aborted) statuses.push(await answers(`${service.url}/products?limit=1`, 200))
        return statuses
      })()
      const { code, output } = await run('/', TOOL, ['-c', CONNECTIONS, '-r', CONNECTIONS, '-i', '1', '-x', '8', '-l', SECONDS, '-p', '5', ...flags, '-u', url])
      over.abort()
      t.equal(code, 0)
      const said = stripVTControlCharacters(output)
      t.notMatch(said, /service available:\s*NO/)
      t.match(said, /No open connections left/, 'the service has closed each before the tool gives up')
      const statuses = await others
      t.ok(statuses.length > 0 && statuses.every(Boolean))
    })
  }
})

// Bull Board.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { buildApp, testDatabase } from '../helpers/app.ts'
import { inBrowser, startBrowser } from '../helpers/browser.ts'
import { deadJobs } from '../helpers/jobs.ts'
import { alone, freePort, run } from '../helpers/process.ts'
import { until } from '../helpers/until.ts'

const DATABASE_URL = await testDatabase()
const NODE = 'node_modules/.bin/node'

const app = await buildApp(t, { ROLE: 'all' }, fastify => {
  fastify.jobs.define({ name: 'breaks', payload: Type.Object({ n: Type.Integer() }), retry: { limit: 0 }, handler: async () => { throw new Error('broken for now') } })
})
const id = await app.jobs.send('breaks', { n: 1 }) ?? ''
await until(async () => (await deadJobs(app, 'breaks')).length > 0)

/** The board, until the test ends. */
async function startBoard (t: Test): Promise<{ url: string, end: () => Promise<number | null> }> {
  const child = spawn(...alone(NODE, ['kit/jobs-board.ts', '--port', '0'], { PATH: process.env.PATH, DATABASE_URL }), { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout?.setEncoding('utf8').on('data', chunk => { said += String(chunk) })
  await until(() => said.includes('\n'))
  const [url = ''] = /http:\S+\d/.exec(said) ?? []
  const end = async () => {
    const closed = once(child, 'close')
    child.kill('SIGTERM')
    const [code] = await closed as [number | null]
    return code
  }
  return { url, end }
}

t.test('it shows the queues and their jobs, and ends with the command', async t => {
  const { url, end } = await startBoard(t)
  const { queues } = await (await fetch(`${url}/api/queues?activeQueue=breaks&status=failed`)).json() as { queues: { name: string, counts: { failed: number }, jobs: { id: string, failedReason: string }[] }[] }
  const queue = queues.find(({ name }) => name === 'breaks')
  t.match(queue, { counts: { failed: 1 }, jobs: [{ id, failedReason: 'broken for now' }] })
  t.equal(await end(), 0)
})

t.test('it changes nothing', async t => {
  const { url } = await startBoard(t)
  for (const path of [`breaks/${id}/retry/failed`, `breaks/${id}/clean`, 'breaks/retry/failed', 'breaks/obliterate', 'pause']) {
    const { status } = await fetch(`${url}/api/queues/${path}`, { method: 'PUT' })
    t.equal(status, 405, path)
  }
  t.equal((await fetch(`${url}/api/queues/breaks/add`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"breaks","data":{},"options":{}}' })).status, 405)
  t.match(await deadJobs(app, 'breaks'), [{ id }])
})

t.test('a name of another site that leads here is not answered', async t => {
  const { url } = await startBoard(t)
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(`${url}/api/queues`, { headers: { host: 'evil.example' } }, resolve).on('error', reject).end()
  })
  t.equal(response.statusCode, 421)
  t.notMatch(await text(response), /breaks/)
})

t.test('in a browser it asks no other host for anything', inBrowser, async t => {
  const { url } = await startBoard(t)
  const browser = await startBrowser(t)
  const page = await browser.newPage()
  const elsewhere: string[] = []
  page.on('response', response => { if (!response.url().startsWith(url)) elsewhere.push(response.url()) })
  await page.goto(`${url}/queue/breaks?status=failed`)
  await page.getByText('broken for now').first().waitFor()
  t.same(elsewhere, [])
})

t.test('what is wrong is said in words', async t => {
  const board = async (words: string[], env: Record<string, string> = {}) => await run('.', NODE, ['kit/jobs-board.ts', ...words], { DATABASE_URL, ...env })
  t.match(await board(['--port', 'x']), { code: 1, output: /Expected a port/ })
  t.match(await board(['--port', '70000']), { code: 1, output: /Expected a port/ })
  t.match(await board([], { JOBS_REDIS_URL: `redis://127.0.0.1:${await freePort()}` }), { code: 1, output: /^Can't reach Redis at 127\.0\.0\.1:\d+\.\n$/ })
  const missing = new URL(DATABASE_URL)
  missing.pathname = '/keel_no_such_database'
  t.match(await board([], { DATABASE_URL: missing.href }), { code: 1, output: /^.*keel_no_such_database.* does not exist.*\n$/ })
  const { url } = await startBoard(t)
  t.match(await board(['--port', new URL(url).port]), { code: 1, output: /^Port \d+ is taken: --port names another\.\n$/ })
})

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import { Type } from 'typebox'
import { buildApp, testDatabase } from '../helpers/app.ts'
import { forgetJobs } from '../helpers/job-store.ts'
import { deadJobs, storedJobs } from '../helpers/jobs.ts'
import { runKit } from '../helpers/process.ts'
import { startSilentServer } from '../helpers/smtp.ts'
import { until } from '../helpers/until.ts'

const DATABASE_URL = await testDatabase()
const kit = (...words: string[]) => runKit(['jobs', ...words], { DATABASE_URL })
const listed = async (...words: string[]) => JSON.parse((await kit('list', '--json', ...words)).output.replace(/^\d+ of \d+: .*\n$/m, '')) as { id: string, rowId: string, queue: string, state: string, attempts: number, reason: string | null, payload: object }[]

let isBroken = true
const seen: string[] = []
const app = await buildApp(t, { ROLE: 'all' }, fastify => {
  const common = { payload: Type.Object({ n: Type.Integer() }), retry: { limit: 0 } }
  fastify.jobs.define({ ...common, name: 'breaks', handler: async ({ id }) => { seen.push(id); if (isBroken) throw new Error('broken\nfor now') } })
  fastify.jobs.define({ ...common, name: 'runs-long', timeoutSeconds: 60, handler: async ({ signal }) => { await once(signal, 'abort'); seen.push('aborted'); signal.throwIfAborted() } })
})
const die = async (n: number) => {
  const id = await app.jobs.send('breaks', { n }) ?? ''
  await until(async () => (await deadJobs(app, 'breaks')).find(job => job.id === id))
  return id
}

t.test('dead jobs are listed with the reason, for people and for programs', async (t) => {
  const id = await die(1)
  const { code, output } = await kit('list')
  t.equal(code, 0)
  t.match(output, /^id +queue +state +attempts +created +starts +reason\n/)
  t.match(output, new RegExp(`\n${id}  breaks +dead +1 .*Error: broken for now\n`))
  t.match(await listed('--state', 'dead', '--queue', 'breaks'), [{ id, queue: 'breaks', state: 'dead', attempts: 1, payload: { n: 1 } }])
})

t.test('of many jobs the dead are listed first, and it is said how many are not', async (t) => {
  const app = await buildApp(t, {}, fastify => fastify.jobs.define({ name: 'later', payload: Type.Object({}), handler: async () => {} }))
  for (let n = 0; n < 3; n++) await app.jobs.send('later', {}, { startAfter: 3_600_000 })
  t.match(await kit('list', '--limit', '1'), { code: 0, output: /\n[0-9a-f-]+ {2}breaks +dead [^]*\n1 of 4: --limit shows more/ })
  t.match(await listed('--queue', 'later', '--limit', '2'), [{ state: 'created' }, { state: 'created' }])
  await forgetJobs(app, 'later', 'created')
})

t.test('a dead job that is retried runs under the id that its sender got, once, however often it is asked for', async (t) => {
  const [dead] = await listed('--state', 'dead')
  isBroken = false
  seen.length = 0
  const id = dead?.id ?? ''
  t.match(await kit('retry', id), { code: 0, output: `${id} is back on breaks\n` })
  await until(async () => (await storedJobs(app, 'breaks')).some(({ state }) => state === 'completed'))
  t.match(await kit('retry', id), { code: 1, output: /was left alone: .*is completed/ })
  await forgetJobs(app, 'breaks', 'completed')
  t.match(await kit('retry', id), { code: 1, output: /was left alone/ }, 'nor when what ran has been deleted')
  t.same(seen, [id])
  t.same(await listed('--state', 'dead'), [])
})

t.test('a dead job is cancelled, known by its own row, too, and can be had back', async (t) => {
  isBroken = true
  const id = await die(5)
  const [dead] = await listed('--state', 'dead')
  t.equal((await kit('cancel', dead?.rowId ?? '')).code, 0)
  t.match(await listed('--state', 'cancelled'), [{ id }])
  isBroken = false
  t.equal((await kit('retry', id)).code, 0)
  await until(() => seen.filter(one => one === id).length === 2)
  await until(async () => (await storedJobs(app, 'breaks')).some(({ state }) => state === 'completed'))
  await forgetJobs(app, 'breaks', 'completed')
})

t.test('one that waits for its next attempt is retried at once', async (t) => {
  let attempts = 0
  const app = await buildApp(t, { ROLE: 'all' }, fastify => fastify.jobs.define({ name: 'patient', payload: Type.Object({}), retry: { delaySeconds: 3600, maxDelaySeconds: 3600 }, handler: async () => { if (++attempts === 1) throw new Error('not yet') } }))
  const id = await app.jobs.send('patient', {}) ?? ''
  await until(async () => (await storedJobs(app, 'patient'))[0]?.state === 'retry')
  t.match(await kit('retry', id), { code: 0, output: `${id} is due now on patient\n` })
  await until(() => attempts === 2)
})

t.test('all dead jobs of a queue are retried at once', async (t) => {
  isBroken = true
  await die(2)
  await die(3)
  isBroken = false
  const { code, output } = await kit('retry', '--queue', 'breaks', '--all')
  t.equal(code, 0)
  t.equal(output.match(/is back on breaks/g)?.length, 2)
  await until(async () => (await storedJobs(app, 'breaks')).filter(({ state }) => state === 'completed').length === 2)
  t.match((await kit('retry', '--queue', 'breaks', '--all')).output, /No such jobs/)
})

t.test('a job that waits is cancelled, and can be had back', async (t) => {
  const id = await app.jobs.send('breaks', { n: 4 }, { startAfter: 3_600_000 }) ?? ''
  t.match(await kit('cancel', id), { code: 0, output: `${id} is cancelled\n` })
  t.match(await listed('--state', 'cancelled'), [{ id, state: 'cancelled' }])
  t.equal((await kit('retry', id)).code, 0)
  t.match(await listed('--state', 'created'), [{ id }])
})

t.test('the signal of a cancelled job that runs fires', async (t) => {
  const id = await app.jobs.send('runs-long', { n: 1 }) ?? ''
  await until(async () => (await storedJobs(app, 'runs-long'))[0]?.state === 'active')
  t.match((await kit('cancel', id)).output, /is cancelled; where it runs/)
  await until(() => seen.includes('aborted'))
  t.equal((await storedJobs(app, 'runs-long'))[0]?.state, 'cancelled')
})

t.test('what can\'t be done is said of each job, and the exit status is 1', async (t) => {
  const done = await app.jobs.send('breaks', { n: 6 }) ?? ''
  await until(async () => (await storedJobs(app, 'breaks')).find(({ id }) => id === done)?.state === 'completed')
  const unknown = randomUUID()
  const { code, output } = await kit('retry', done, unknown)
  t.equal(code, 1)
  t.match(output, new RegExp(`${done} was left alone: is completed\n${unknown} was left alone: there is no such job`))
  t.equal((await kit('cancel', done)).code, 1)
})

t.test('a queue that is gone from the code is dropped with its schedule and its jobs', async (t) => {
  const definition = { payload: Type.Object({}), schedule: { cron: '0 3 * * *' }, retry: { limit: 0 } }
  const before = await buildApp(t, { ROLE: 'all' }, fastify => fastify.jobs.define({ ...definition, name: 'gone', handler: async ({ signal }) => { await once(signal, 'abort'); throw new Error('never done') } }))
  await before.jobs.send('gone', {}, { startAfter: 3_600_000 })
  const id = await before.jobs.send('gone', {}) ?? ''
  await until(async () => (await storedJobs(before, 'gone')).some(({ state }) => state === 'active'))
  t.match(await kit('drop', 'gone'), { code: 1, output: /A job of gone is running/ })
  await kit('cancel', id)
  await before.close()
  t.match(await kit('drop', 'gone'), { code: 0, output: /^gone is forgotten, its schedule and what waited or was dead \(1\)\. If it is still in the code, it begins anew/ })
  t.match(await kit('list', '--queue', 'gone'), { code: 1, output: /no queue "gone"/ })
})

t.test('bad arguments are named, and the exit status is 1', async (t) => {
  const bad: [words: string[], said: RegExp][] = [
    [[], /Usage: npm run kit -- jobs/],
    [['bogus'], /unknown command 'bogus'/],
    [['list', '--state', 'lost'], /Allowed choices are dead, failed/],
    [['list', '--limit', '0'], /whole number from 1/],
    [['list', '--limit', 'many'], /whole number from 1/],
    [['list', '--queue', 'nope'], /no queue "nope"; there are: breaks, clean-up/],
    [['list', '--queue', 'certificates'], /no queue "certificates"; there are: breaks, clean-up/],
    [['drop', 'nope'], /no queue "nope"/],
    [['drop'], /missing required argument 'queue'/],
    [['list', 'extra'], /too many arguments/],
    [['retry'], /give ids, or --queue NAME --all/],
    [['retry', '--all'], /give ids, or --queue NAME --all/],
    [['retry', '--queue', 'breaks'], /give ids, or --queue NAME --all/],
    [['retry', randomUUID(), '--queue', 'breaks', '--all'], /give ids, or --queue NAME --all/],
    [['retry', 'abc'], /Expected an id/],
    [['cancel'], /missing required argument 'id'/]
  ]
  for (const [words, said] of bad) {
    const { code, output } = await kit(...words)
    t.equal(code, 1, words.join(' '))
    t.match(output, said)
    t.notMatch(output, /\n +at /, 'no stack')
  }
})

t.test('a database that takes the connection and never answers is not waited for without end', async (t) => {
  const { port } = new URL(await startSilentServer(t))
  t.match(await runKit(['jobs', 'list'], { DATABASE_URL: `postgresql://user@127.0.0.1:${port}/x` }), { code: 1 })
})

t.test('a database that is away, or has no tables of the jobs, is said in one line', async (t) => {
  const away = await runKit(['jobs', 'list'], { DATABASE_URL: 'postgresql://user:hunter2@127.0.0.1:1/x' })
  t.match(away, { code: 1, output: /Can't reach the database server/ })
  t.notMatch(away.output, /hunter2|\n +at /)
  const without = new URL(DATABASE_URL)
  without.searchParams.set('schema', 'elsewhere')
  t.match(await runKit(['jobs', 'list'], { DATABASE_URL: without.href }), { code: 1, output: 'The tables of the jobs are missing: run npm run db:migrate.\n' })
  t.match(await runKit(['jobs', 'list'], { NODE_ENV: 'production' }), { code: 1, output: 'DATABASE_URL must be set in production.\n' })
})

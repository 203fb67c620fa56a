import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failuresOf } from '../../kit/failures.ts'
import { copyOfCheckout, run } from '../helpers/process.ts'

/** Runs tap on a test file as `npm test` does, in a copy of the checkout. */
async function runTest (t: Test, source: string, ...options: string[]) {
  const folder = copyOfCheckout(t)
  mkdirSync(join(folder, 'test'))
  writeFileSync(join(folder, 'test/some.test.ts'), `import t from 'tap'\n${source}`)
  return await run(folder, 'node_modules/.bin/node', ['kit/test-run.ts', '--disable-coverage', '--reporter=tap', ...options])
}

t.test('a run that failed ends with what failed, by file and name', async (t) => {
  const { code, output } = await runTest(t, `
    t.test('a thing', async t => {
      t.ok(true, 'is fine')
      await t.test('of ours', async t => { t.equal('not ok 1 - quoted', 2, 'is not so') })
      await t.test('of others', async () => { throw new Error('broken') })
    })
    t.test('a good one', async t => { t.ok(false, 'for later', { todo: true }) })
    t.equal(1, 2, 'at the top')
  `)
  t.equal(code, 1)
  t.match(output, /\nWhat failed:\n {2}test\/some\.test\.ts\n {4}- a thing › of ours › is not so\n {4}- a thing › of others › broken\n {4}- at the top\n$/)
})

t.test('a file that fails though each of its tests passed is named, too', async (t) => {
  for (const source of ["t.test('fine', async t => { t.ok(true) })\nprocess.exitCode = 4", "t.test('fine', async t => { t.ok(true) })\nt.teardown(async () => { throw new Error('in the teardown of the file') })"]) {
    const { code, output } = await runTest(t, source)
    t.equal(code, 1)
    t.match(output, /\nWhat failed:\n {2}test\/some\.test\.ts\n {4}- the file itself, outside its tests: exit code \d, signal -\n$/)
  }
})

t.test('a file that dies outside its tests is named with what it died of', async (t) => {
  const { output } = await runTest(t, "await t.test('fine', async t => { t.ok(true) })\nthrow new Error('Plugin did not start in time')")
  t.match(output, /\nWhat failed:\n {2}test\/some\.test\.ts\n {4}- Plugin did not start in time\n$/)
})

t.test('a file that does not end is named with what was going on', async (t) => {
  const { code, output } = await runTest(t, "t.test('too long', async () => { await new Promise(resolve => setTimeout(resolve, 600_000)) })", '--timeout=3')
  t.equal(code, 1)
  t.match(output, /\nWhat failed:\n {2}test\/some\.test\.ts\n {4}- too long › timeout!\n {4}- the file itself: it took longer than a file may \(--timeout\)\n$/)
})

t.test('a run that passed says nothing more', async (t) => {
  const { code, output } = await runTest(t, "t.ok(true, 'is fine')")
  t.equal(code, 0)
  t.notMatch(output, /What failed/)
})

t.test('tests that ran at once are told apart, and a file that breaks off is told', async (t) => {
  const buffered = 'not ok 1 - all # time=9ms {\n    not ok 1 - one {\n        not ok 1 - is wrong\n          ---\n          not ok 2 - quoted\n          ...\n        1..1\n    }\n    ok 2 - two {\n        ok 1 - is right\n        1..1\n    }\n    1..2\n}\n'
  t.same(failuresOf(`${buffered}1..1\n`), ['all › one › is wrong'])
  t.same(failuresOf('TAP version 14\nok 1 - fine\n'), ['did not come to its end'])
})

t.test('a database that cannot be used is said in one line, before any test runs', async (t) => {
  const folder = copyOfCheckout(t)
  cpSync('test/helpers', join(folder, 'test/helpers'), { recursive: true })
  const TEST_DATABASE_URL = 'postgresql://user:hunter2@127.0.0.1:1/x'
  const { code, output } = await run(folder, 'kit/test', [], { TEST_DATABASE_URL })
  t.equal(code, 1)
  t.match(output, /^The [^\n]*TEST_DATABASE_URL \(or DATABASE_URL\): [^\n]*127\.0\.0\.1:1: nothing listens there\.\n$/)
})

import { randomUUID } from 'node:crypto'
import t from 'tap'
import { buildApp, testDatabase } from '../helpers/app.ts'
import { runKit } from '../helpers/process.ts'

const { prisma } = await buildApp(t)
const url = await testDatabase()
const events = (...words: string[]) => runKit(['events', ...words], { DATABASE_URL: url })
const failure = { type: 'thing.changed', subject: 'a', json: '{}' }

t.test('without consumers it says so', async t => {
  t.match(await events('list'), { code: 0, output: 'There is no consumer.\n' })
})

t.test('consumers, and what they could not handle, are listed for people and for programs', async t => {
  await prisma.eventConsumer.create({ data: { name: 'index', position: 7n } })
  await prisma.event.create({ data: { type: 'thing.changed', subject: randomUUID(), data: {} } })
  await prisma.eventFailure.createMany({ data: [{ ...failure, consumer: 'index', position: 3n, error: 'Error: poison', isDue: false }, { ...failure, consumer: 'index', position: 5n, isDue: true }] })
  await prisma.event.updateMany({ data: { position: 9n } })
  const { code, output } = await events('list')
  t.equal(code, 0)
  t.match(output, /^index {2}at 7, 1 behind, 2 set aside\n/)
  t.match(output, /\n {2}index 3 {2}thing\.changed a .* Error: poison\n {2}index 5 .* waits for an earlier one of its subject\n$/)
  t.match(JSON.parse((await events('list', '--json')).output), { consumers: [{ name: 'index', behind: 1 }], failures: [{ position: '3' }, { position: '5' }] })
})

t.test('retry marks what was set aside: one, or all', async t => {
  await prisma.eventFailure.create({ data: { ...failure, subject: 'b', consumer: 'index', position: 4n, error: 'Error: poison', isDue: false } })
  t.match(await events('retry', 'index', '4'), { code: 0, output: /^1 of index/ })
  t.same(await prisma.eventFailure.findMany({ where: { isDue: false }, select: { position: true } }), [{ position: 3n }])
  t.match(await events('retry', 'index'), { code: 0, output: /^1 of index/ })
  t.equal(await prisma.eventFailure.count({ where: { isDue: true } }), 3)
})

t.test('drop forgets a consumer with all that is its own', async t => {
  t.match(await events('drop', 'index'), { code: 0, output: /index is forgotten/ })
  t.same([await prisma.eventConsumer.count(), await prisma.eventFailure.count()], [0, 0])
})

t.test('mistakes are named in a line', async t => {
  for (const [words, said] of [[['retry', 'nobody'], /no consumer 'nobody'/], [['drop', 'nobody'], /no consumer 'nobody'/], [['retry', 'index', 'x'], /whole number/], [['drop'], /missing required argument/]] as const) {
    const { code, output } = await events(...words)
    t.equal(code, 1)
    t.match(output, said)
    t.notMatch(output, /\n +at /)
  }
  t.match(await runKit(['events', 'list'], { DATABASE_URL: 'postgresql://127.0.0.1:1/x' }), { code: 1, output: /nothing listens/ })
  t.match(await runKit(['events', 'list'], { NODE_ENV: 'production' }), { code: 1, output: /DATABASE_URL must be set/ })
})

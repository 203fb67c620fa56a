import t from 'tap'
import { once, type Repeatable } from '../../services/idempotency.ts'
import { buildApp, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const { id: userId } = await registered(app)
const { id: otherId } = await registered(app)
const request = (key: string, rest: Partial<Repeatable> = {}): Repeatable => ({ userId, operation: 'test', key, input: { a: 1 }, ttl: 60_000, ...rest })

let runs = 0
const work = async () => ({ run: ++runs, at: new Date(0) })

t.test('without a key the work is done each time', async (t) => {
  const first = await once(app.prisma, undefined, work)
  const second = await once(app.prisma, undefined, work)
  t.equal(second.answer.run, first.answer.run + 1)
  t.notOk(first.replayed || second.replayed)
})

t.test('the same request with a key has one answer', async (t) => {
  const first = await once(app.prisma, request('same'), work)
  const second = await once(app.prisma, request('same'), work)
  t.same(second.answer, { run: first.answer.run, at: '1970-01-01T00:00:00.000Z' })
  t.equal(first.replayed, false)
  t.equal(second.replayed, true)
})

t.test('the order of members makes no other request', async (t) => {
  await once(app.prisma, request('members', { input: { a: 1, b: { c: 2, d: 3 } } }), work)
  t.equal((await once(app.prisma, request('members', { input: { b: { d: 3, c: 2 }, a: 1 } }), work)).replayed, true)
})

t.test('the order of a list does', async (t) => {
  await once(app.prisma, request('list', { input: [1, 2] }), work)
  await t.rejects(once(app.prisma, request('list', { input: [2, 1] }), work), { code: 'IDEMPOTENCY_KEY_REUSED' })
})

t.test('another input under the key is refused', async (t) => {
  await once(app.prisma, request('other'), work)
  await t.rejects(once(app.prisma, request('other', { input: { a: '1' } }), work), { code: 'IDEMPOTENCY_KEY_REUSED' })
})

t.test('a key belongs to one user and one operation', async (t) => {
  const answers = [request('own'), request('own', { userId: otherId }), request('own', { operation: 'test2' })]
  for (const each of answers) t.equal((await once(app.prisma, each, work)).replayed, false)
})

t.test('what failed may be tried again', async (t) => {
  await t.rejects(once(app.prisma, request('failed'), async () => { throw new Error('no') }), { message: 'no' })
  t.equal((await once(app.prisma, request('failed'), work)).replayed, false)
})

t.test('an answer is kept for its time', async (t) => {
  await once(app.prisma, request('late', { ttl: 1000 }), work)
  await app.prisma.idempotencyRecord.updateMany({ where: { key: 'late' }, data: { expiresAt: new Date() } })
  t.equal((await once(app.prisma, request('late', { input: 'new' }), work)).replayed, false)
  t.equal((await once(app.prisma, request('late', { input: 'new' }), work)).replayed, true)
})

t.test('of many at once, one does the work', async (t) => {
  const before = runs
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => once(app.prisma, request('parallel'), work)))
  t.equal(runs, before + 1)
  for (const result of results) {
    if (result.status === 'fulfilled') t.equal(result.value.answer.run, before + 1)
    else t.equal(result.reason.code, 'IDEMPOTENCY_IN_FLIGHT')
  }
})

// The embedded database runs one transaction after the other, so there is nothing in flight.
if (process.env.TEST_DATABASE_URL) {
  t.test('while the first is running, the second is told so', async (t) => {
    const { promise: started, resolve: start } = Promise.withResolvers<void>()
    const { promise: finished, resolve: finish } = Promise.withResolvers<void>()
    const first = once(app.prisma, request('flight'), async () => {
      start()
      await finished
      return await work()
    })
    await started
    await t.rejects(once(app.prisma, request('flight'), work), { code: 'IDEMPOTENCY_IN_FLIGHT' })
    finish()
    t.equal((await first).replayed, false)
    t.equal((await once(app.prisma, request('flight'), work)).replayed, true)
  })
}

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { within } from '../../server/within.ts'

// It keeps no process up, and here there is nothing else that would.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

t.test('what comes in time is what it gives, or throws', async t => {
  t.equal(await within(Promise.resolve('tea'), 60_000, () => 'late'), 'tea')
  await t.rejects(within(Promise.reject(new Error('spilt')), 60_000, () => 'late'), { message: 'spilt' })
})

t.test('later it is what was asked for, or an error', async t => {
  const never = new Promise<string>(() => {})
  t.equal(await within(never, 1, () => 'late'), 'late')
  await t.rejects(within(never, 1, () => { throw new Error('too late') }), { message: 'too late' })
})

t.test('what fails after that fails for nobody', async t => {
  const unhandled: unknown[] = []
  const listener = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  const failing = Promise.withResolvers<string>()
  t.equal(await within(failing.promise, 1, () => 'late'), 'late')
  failing.reject(new Error('spilt'))
  await sleep(10)
  t.same(unhandled, [])
})

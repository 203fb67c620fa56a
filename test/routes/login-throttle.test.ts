import { randomUUID } from 'node:crypto'
import t from 'tap'
import { bearer, buildApp } from '../helpers/app.ts'
import { withPassword } from '../helpers/passwords.ts'

const limits = { LOGIN_FAILURES_MAX: 3, LOGIN_FAILURES_WINDOW: 60_000 }
const app = await buildApp(t, limits)
const otherProcess = await buildApp(t, limits)

interface Options { from?: string, on?: typeof app }
const logIn = (email: string, password: string, { from = '192.0.2.1', on = app }: Options = {}) =>
  on.inject({ method: 'POST', url: '/auth/login', remoteAddress: from, payload: { email, password } })
const guess = (email: string, options?: Options) => logIn(email, 'wrong horse battery', options)
const statuses = async (count: number, attempt: () => ReturnType<typeof guess>) => {
  const seen = []
  for (let index = 0; index < count; index++) seen.push((await attempt()).statusCode)
  return seen
}
/** As if the windows had begun so long ago. */
const age = (milliseconds: number) => app.prisma.$executeRaw`UPDATE login_throttles SET window_ends_at = window_ends_at - ${milliseconds} * interval '1 millisecond', expires_at = expires_at - ${milliseconds} * interval '1 millisecond'`
/** Has the windows end so much later than now. */
const endIn = (milliseconds: number) => app.prisma.loginThrottle.updateMany({ data: { windowEndsAt: new Date(Date.now() + milliseconds) } })

t.test('after some wrong passwords an account takes none, from wherever', async (t) => {
  const { email, password } = await withPassword(app)
  t.same(await statuses(5, () => guess(email)), [401, 401, 401, 429, 429])
  const right = await logIn(email, password, { from: '198.51.100.7' })
  t.equal(right.statusCode, 429)
  t.match(right.json(), { code: 'TOO_MANY_ATTEMPTS', status: 429 })
  const seconds = Number(right.headers['retry-after'])
  t.ok(seconds > 0 && seconds <= 60, `${seconds}`)
})

t.test('an address without an account is answered the same', async (t) => {
  const { email } = await withPassword(app)
  const nobody = `${randomUUID()}@example.com`
  const stable = ({ type, title, status, detail, code }: Record<string, unknown>) => ({ type, title, status, detail, code })
  for (let count = 0; count < 5; count++) {
    const [known, unknown] = [await guess(email), await guess(nobody)]
    t.same(stable(unknown.json()), stable(known.json()))
    // Each has a window of its own, which began with its first failure.
    for (const { statusCode, headers } of [known, unknown]) t.equal(/^([1-5]?[0-9]|60)$/.test(String(headers['retry-after'])), statusCode === 429)
  }
})

t.test('the spelling of the address makes no difference', async (t) => {
  const { email } = await withPassword(app)
  await statuses(3, () => guess(email.toUpperCase()))
  t.equal((await guess(email)).statusCode, 429)
})

t.test('all processes count together', async (t) => {
  const { email } = await withPassword(app)
  t.same(await statuses(2, () => guess(email)), [401, 401])
  t.same(await statuses(2, () => guess(email, { on: otherProcess })), [401, 429])
  t.equal((await guess(email)).statusCode, 429)
})

t.test('of many guesses at once no more are answered', async (t) => {
  const { email, password } = await withPassword(app)
  const responses = await Promise.all(Array.from({ length: 12 }, (_, count) => guess(email, { on: count % 2 ? app : otherProcess })))
  t.equal(responses.filter(({ statusCode }) => statusCode === 401).length, 3)
  t.equal(responses.filter(({ statusCode }) => statusCode === 429).length, 9)
  t.equal((await logIn(email, password)).statusCode, 429)
})

t.test('many right passwords at once are all right', async (t) => {
  const { email, password } = await withPassword(app)
  const responses = await Promise.all(Array.from({ length: 8 }, () => logIn(email, password)))
  t.ok(responses.every(({ statusCode }) => statusCode === 200))
})

t.test('the window ends, and trying meanwhile does not prolong it', async (t) => {
  const { email, password } = await withPassword(app)
  await statuses(5, () => guess(email))
  // Hashing takes its time: the last second is counted from here.
  await endIn(1_000)
  const late = await guess(email)
  t.equal(late.statusCode, 429)
  t.equal(late.headers['retry-after'], '1')
  await age(1_100)
  t.equal((await logIn(email, password)).statusCode, 200)
})

t.test('a right password starts the count anew', async (t) => {
  const { email, password } = await withPassword(app)
  for (let round = 0; round < 3; round++) {
    await statuses(2, () => guess(email))
    t.equal((await logIn(email, password)).statusCode, 200)
  }
})

t.test('strangers don\'t shut an owner out where the owner has signed in before', async (t) => {
  const { email, password } = await withPassword(app)
  const home = '203.0.113.9'
  t.equal((await logIn(email, password, { from: home })).statusCode, 200)
  await statuses(4, () => guess(email))
  t.equal((await logIn(email, password)).statusCode, 429)
  t.equal((await logIn(email, password, { from: home })).statusCode, 200)
  t.same(await statuses(4, () => guess(email, { from: home })), [401, 401, 401, 429], 'but guesses from there count, too')
})

t.test('guesses at the current password count as those at sign-in', async (t) => {
  const { email, token } = await withPassword(app)
  const change = () => app.inject({ method: 'PUT', url: '/users/me/password', remoteAddress: '192.0.2.1', headers: bearer(token), payload: { currentPassword: 'wrong horse battery', newPassword: 'another horse battery' } })
  t.same(await statuses(4, change), [403, 403, 403, 429])
  t.equal((await guess(email)).statusCode, 429)
})

t.test('neither addresses are stored, nor rows for ever', async (t) => {
  const { email } = await withPassword(app)
  await guess(email)
  t.notMatch(JSON.stringify(await app.prisma.loginThrottle.findMany()), /example|192\.0/)
  await age(31 * 86_400_000)
  await Promise.all(Array.from({ length: 10 }, (_, count) => guess(`${count}-${email}`)))
  t.equal(await app.prisma.loginThrottle.count({ where: { expiresAt: { lt: new Date() } } }), 0)
})

import { createHook } from 'node:async_hooks'
import { argon2Sync } from 'node:crypto'
import t from 'tap'
import { hashPassword, isOutdated, verifyPassword } from '../../services/passwords.ts'

const PASSWORD = 'correct horse battery'

t.test('a hash is an argon2id PHC string with parameters of today', async (t) => {
  const hash = await hashPassword(PASSWORD)
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  t.notOk(isOutdated(hash))
})

t.test('the same password has another hash each time', async (t) => {
  t.not(await hashPassword(PASSWORD), await hashPassword(PASSWORD))
})

t.test('the right password verifies and another does not', async (t) => {
  const hash = await hashPassword(PASSWORD)
  t.equal(await verifyPassword(PASSWORD, hash), true)
  t.equal(await verifyPassword(`${PASSWORD} `, hash), false)
  t.equal(await verifyPassword('', hash), false)
})

t.test('a password is the same however its characters are composed', async (t) => {
  const hash = await hashPassword('caf\u00e9 au lait, please')
  t.equal(await verifyPassword('cafe\u0301 au lait, please', hash), true)
})

t.test('without an account the answer is no, after the same work', async (t) => {
  const hash = await hashPassword(PASSWORD)
  // A derivation is a job of Node's thread pool: counted, not timed.
  let derivations = 0
  const hook = createHook({ init: (_id, type) => { if (/argon2/i.test(type)) derivations++ } }).enable()
  t.teardown(() => hook.disable())
  t.equal(await verifyPassword('wrong password', hash), false)
  const withAccount = derivations
  t.equal(await verifyPassword('wrong password', undefined), false)
  t.equal(withAccount, 1)
  t.equal(derivations - withAccount, withAccount)
})

t.test('a hash with parameters of yesterday verifies and is outdated', async (t) => {
  const salt = Buffer.alloc(16, 7)
  const tag = argon2Sync('argon2id', { message: PASSWORD, nonce: salt, memory: 1024, passes: 1, parallelism: 1, tagLength: 32 })
  const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
  const hash = `$argon2id$v=19$m=1024,t=1,p=1$${base64(salt)}$${base64(tag)}`
  t.equal(await verifyPassword(PASSWORD, hash), true)
  t.ok(isOutdated(hash))
})

t.test('what is no PHC string is reported, not taken for a wrong password', async (t) => {
  await t.rejects(verifyPassword(PASSWORD, 'plain'), { message: /not an argon2id PHC string/ })
})

t.test('of a rush of hashes each gets its turn, also after one that failed', async (t) => {
  const hash = await hashPassword(PASSWORD)
  const impossible = hash.replace('m=19456', 'm=1')
  const results = await Promise.allSettled([impossible, hash, impossible, hash, hash, impossible, hash].map(each => verifyPassword(PASSWORD, each)))
  t.same(results.map(({ status }) => status), ['rejected', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
})

/** Hashes that are asked for at once: the first two run, the others are in line. */
const rush = (count: number, signal?: AbortSignal) => Array.from({ length: count }, () => hashPassword(PASSWORD, signal))

t.test('behind fifty in line nobody is let in', async (t) => {
  const results = await Promise.allSettled(rush(60))
  const refused = results.flatMap(result => result.status === 'rejected' ? [result.reason as object] : [])
  t.equal(refused.length, 8)
  for (const reason of refused) t.match(reason, { code: 'TOO_BUSY', retryAfter: 2 })
  t.ok(await hashPassword(PASSWORD), 'and later all is as before')
})

t.test('who is gone loses the place in line, and makes room', async (t) => {
  let derivations = 0
  const hook = createHook({ init: (_id, type) => { if (/argon2/i.test(type)) derivations++ } }).enable()
  t.teardown(() => hook.disable())
  const running = rush(2)
  const gone = new AbortController()
  const abandoned = rush(50, gone.signal)
  gone.abort()
  const later = rush(1)
  t.ok((await Promise.allSettled(abandoned)).every(({ status }) => status === 'rejected'))
  await Promise.all([...running, ...later])
  t.equal(derivations, 3)
  await t.rejects(hashPassword(PASSWORD, gone.signal), { code: 'TOO_BUSY' })
})

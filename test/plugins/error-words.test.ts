import t from 'tap'
import { wordsOf } from '../../plugins/errors/words.ts'

t.test('an error is its name and message, anything else its text', async t => {
  t.equal(wordsOf(new TypeError('no')), 'TypeError: no')
  t.equal(wordsOf('no'), 'no')
  t.equal(wordsOf(undefined), 'undefined')
})

t.test('what can\'t be put into words is said so, and never thrown', async t => {
  const mute = { toString () { throw new Error('no words') } }
  class Silent extends Error {
    override get message (): string { throw new Error('no words') }
  }
  for (const error of [Object.create(null), mute, new Silent(), Object.assign(new Error('x'), { name: Symbol('no text') })]) t.equal(wordsOf(error), 'an error that can\'t be put into words')
})

t.test('what PostgreSQL can\'t hold is left out', async t => {
  t.equal(wordsOf('a\0b'), 'ab')
  t.equal(wordsOf('\ud83d'), '\ufffd')
})

t.test('it is cut to a length, in no half of a character', async t => {
  const words = wordsOf(`${'x'.repeat(1_999)}\u{1f600}`)
  t.equal(words.length, 2_000)
  t.ok(words.isWellFormed())
})

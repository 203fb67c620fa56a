import t from 'tap'
import { Recent } from '../../plugins/auth/recent.ts'

t.test('what is in use stays, however much comes by', async (t) => {
  const recent = new Recent<number>(10)
  recent.set('kept', 1)
  for (let count = 0; count < 1000; count++) {
    recent.set(`passing-${count}`, count)
    t.equal(recent.get('kept'), 1)
  }
})

t.test('it never holds more than twice its size', async (t) => {
  const recent = new Recent<number>(10)
  for (let count = 0; count < 1000; count++) recent.set(`${count}`, count)
  const held = Array.from({ length: 1000 }, (_, count) => recent.get(`${count}`)).filter(value => value !== undefined)
  t.ok(held.length >= 10 && held.length <= 20, `${held.length}`)
})

t.test('it can forget', async (t) => {
  const recent = new Recent<number>(1)
  for (const name of ['a', 'b']) recent.set(name, 1)
  recent.clear()
  t.same([recent.get('a'), recent.get('b')], [undefined, undefined])
})

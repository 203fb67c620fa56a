import t from 'tap'
import { withNats } from '../helpers/nats.ts'
import { natsServices } from '../helpers/nats-services.ts'
import { until } from '../helpers/until.ts'

const { consuming } = await natsServices(t)

t.test('what can\'t be read is a dead letter with the reason; those behind it are handled', withNats, async t => {
  const { send, effects, dead, pending, stream } = await consuming(t)
  await send('{"n":', { 'ce-id': 'broken', extra: 'kept' })
  await send({ n: 'x' })
  await send({ n: 1 }, { 'content-type': 'text/html' })
  await send({ n: 2 })
  await until(async () => (await dead()).length === 3 && await pending() === 0)
  t.same(await effects(), [2])
  const letters = await dead()
  t.ok(letters.every(({ subject }) => subject.endsWith(`.dead.${stream}`)))
  const broken = letters.find(({ header }) => header.get('ce-id') === 'broken')
  t.match(broken!.header.get('dead-reason'), /not JSON in UTF-8/)
  t.equal(broken!.string(), '{"n":')
  t.match(Object.fromEntries(['extra', 'dead-stream', 'dead-subject', 'dead-attempts'].map(name => [name, broken!.header.get(name)])), { extra: 'kept', 'dead-stream': stream, 'dead-subject': `${stream}.n`, 'dead-attempts': '1' })
})

t.test('one that fails is tried again, then a dead letter; from there it can be sent again', withNats, async t => {
  let calls = 0
  let isBroken = true
  const { send, effects, dead, pending, client, stream } = await consuming(t, async ({ payload }) => {
    if (payload.n === 1) calls++
    if (payload.n === 1 && isBroken) throw new Error('line one\nline two')
  })
  await send({ n: 1 })
  await send({ n: 2 })
  await until(async () => (await dead()).length === 1 && await pending() === 0)
  t.equal(calls, 3)
  t.same(await effects(), [2])
  const [letter] = await dead()
  t.equal(letter!.header.get('dead-reason'), 'Error: line one line two')
  t.equal(letter!.header.get('dead-attempts'), '3')
  isBroken = false
  await client.js.publish(`${stream}.n`, letter!.data, { headers: letter!.header })
  await until(async () => (await effects()).length === 2)
})

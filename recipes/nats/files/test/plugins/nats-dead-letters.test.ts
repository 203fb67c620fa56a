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

t.test('one that is too large with its reason, for the server or for the stream, is a dead letter that says where it was', withNats, async t => {
  const { send, effects, dead, pending, client, prefix } = await consuming(t)
  // The server takes 64 KiB of headers.
  await send('nonsense', { much: 'x'.repeat(65_250) })
  await send('nonsense', { 'dead-much': 'x'.repeat(65_250) })
  await until(async () => (await dead()).length === 2 && await pending() === 0)
  const { config } = await client.jsm.streams.info(`${prefix}-dead`)
  await client.jsm.streams.update(`${prefix}-dead`, { ...config, max_msg_size: 1_000 })
  await send(`"${'x'.repeat(2_000)}"`)
  await send({ n: 1 })
  await until(async () => (await dead()).length === 3 && await pending() === 0)
  t.same(await effects(), [1])
  const letters = (await dead()).map(({ header, data }) => ({ sequence: header.get('dead-sequence'), body: header.get('dead-body'), much: header.has('much') || header.has('dead-much'), length: data.length })).sort((a, b) => a.sequence.localeCompare(b.sequence))
  t.match(letters.map(({ sequence, much }) => [sequence, much]), [['1', false], ['2', false], ['3', false]])
  t.match(letters[2], { body: 'too large', length: 0 })
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

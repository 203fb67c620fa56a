import t from 'tap'
import { withRabbit } from '../helpers/rabbitmq.ts'
import { rabbitServices } from '../helpers/rabbitmq-services.ts'
import { until } from '../helpers/until.ts'

const { consuming } = await rabbitServices(t)

t.test('what can\'t be read is a dead letter with the reason; those behind it are handled', withRabbit, async t => {
  const { send, effects, dead, client, prefix, outcomes } = await consuming(t)
  await send('{"n":', 'broken', { headers: { extra: 'kept', 'dead-reason': 'forged', 'keel-attempts': -5 }, correlationId: 'kept, too' })
  await send({ n: 'x' })
  await send({ n: 1 }, undefined, { contentType: 'text/html' })
  await send({ n: 1 }, undefined, { headers: { 'cloudEvents:id': undefined } })
  await send({ n: 2 })
  await until(async () => await outcomes('dead') === 4 && await client.count(dead) === 4 && (await effects()).length > 0)
  t.same(await effects(), [2])
  const letters = await client.drain(dead)
  const broken = letters.find(({ properties }) => properties.headers?.['cloudEvents:id'] === 'broken')!
  t.match(broken.properties.headers, { 'dead-reason': /not JSON in UTF-8/, extra: 'kept', 'dead-queue': `${prefix}.numbers`, 'dead-exchange': prefix, 'dead-key': 'n.one', 'dead-attempts': '1' })
  t.match(broken.properties, { correlationId: 'kept, too', deliveryMode: 2 })
  t.equal(String(broken.content), '{"n":')
  t.ok(letters.some(({ properties }) => /no id/.test(properties.headers?.['dead-reason'])))
})

t.test('one whose headers leave no room for the reason is a dead letter without them', withRabbit, async t => {
  const { send, dead, client } = await consuming(t)
  await send('nonsense', 'large', { headers: { much: 'x'.repeat(65_350) } })
  await until(async () => await client.count(dead) === 1)
  t.match((await client.drain(dead))[0]!.properties.headers, { 'cloudEvents:id': 'large', 'dead-headers': /exceeds/, 'dead-reason': /not JSON/, much: undefined })
})

t.test('one whose headers can be read and not written is tried again, then a dead letter, under its id', withRabbit, async t => {
  const ids: string[] = []
  const { send, effects, dead, client } = await consuming(t, async ({ payload, id }) => {
    if (payload.n !== 1) return
    ids.push(id)
    throw new Error('not today')
  })
  // On the wire it is a table with a field "!", which the client takes for one of its own marks.
  await send({ n: 1 }, 'odd', { headers: { nested: { a: { '!': 'object', value: { '!': 'weird', value: 'x' } } } } })
  await send({ n: 2 })
  await until(async () => await client.count(dead) === 1 && (await effects()).length > 0)
  t.same(ids, ['odd', 'odd', 'odd'])
  t.match((await client.drain(dead))[0]!.properties.headers, { 'cloudEvents:id': 'odd', 'dead-reason': 'Error: not today', nested: undefined })
})

t.test('its copies go where they belong, whomever its sender copied it to', withRabbit, async t => {
  const { send, effects, dead, client, prefix, outcomes } = await consuming(t)
  const other = `${prefix}.other`
  await client.channel.assertQueue(other, { exclusive: true })
  await send('nonsense', 'copied', { headers: { CC: [`${prefix}.numbers`, other], BCC: [`${prefix}.numbers`, other] } })
  await until(async () => (await client.count(dead) ?? 0) > 0)
  await send({ n: 1 })
  await until(async () => (await effects()).length > 0)
  t.equal(await outcomes('dead'), 1)
  t.equal(await client.count(dead), 1)
  t.equal(await client.count(other), 0)
})

t.test('one that fails is tried again, then a dead letter; from there it can be sent again', withRabbit, async t => {
  let calls = 0
  let isBroken = true
  const { send, effects, dead, client, prefix } = await consuming(t, async ({ payload, attempt }) => {
    if (payload.n === 1) t.equal(attempt, isBroken ? ++calls : attempt)
    if (payload.n === 1 && isBroken) throw new Error('not today')
  })
  await send({ n: 1 }, 'one')
  await send({ n: 2 })
  await until(async () => await client.count(dead) === 1 && (await effects()).length > 0)
  t.equal(calls, 3)
  t.same(await effects(), [2])
  const [letter] = await client.drain(dead)
  t.match(letter!.properties.headers, { 'dead-reason': 'Error: not today', 'dead-attempts': '3' })
  isBroken = false
  await client.send('', `${prefix}.numbers`, String(letter!.content), { headers: { 'cloudEvents:id': 'one', 'cloudEvents:source': `/${prefix}` } })
  await until(async () => (await effects()).length === 2)
})

t.test('a dead letter whose queue was deleted is not lost', withRabbit, async t => {
  const { send, effects, client, dead } = await consuming(t)
  await client.channel.deleteQueue(dead)
  await send('nonsense')
  await send({ n: 1 })
  await until(async () => await client.count(dead) === 1)
  await until(async () => (await effects()).length === 1)
})

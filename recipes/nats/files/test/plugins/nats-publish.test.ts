import { randomUUID } from 'node:crypto'
import t from 'tap'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { natsServer, stored, withNats } from '../helpers/nats.ts'
import { natsServices, newPrefix } from '../helpers/nats-services.ts'
import { traceparent } from '../helpers/numbered.ts'
import { until } from '../helpers/until.ts'

const { prisma, server, record, service } = await natsServices(t)

t.test('the events of a thing are published as CloudEvents, in order', withNats, async t => {
  const { prefix } = await service(t)
  const { jsm } = await server!.client()
  const [id, thing] = [randomUUID(), { name: 'Lamp' }]
  for (const type of ['thing.made', 'thing.sold']) await inTransaction(prisma, tx => recordEvent(tx, { type, subject: id, data: { thingId: id, thing }, origin: { traceparent } }))
  const messages = await until(async () => (found => found.length === 2 ? found : undefined)(await stored(jsm, `${prefix}-events`)))
  t.same(messages.map(({ subject }) => subject), [`${prefix}.events.thing.made`, `${prefix}.events.thing.sold`])
  const [created] = messages
  t.match(JSON.parse(created!.string()), { type: 'thing.made', thingId: id, thing })
  const header = (name: string) => created!.header.get(name)
  t.match(Object.fromEntries(['ce-specversion', 'ce-type', 'ce-source', 'ce-subject', 'content-type', 'traceparent', 'ce-traceparent'].map(name => [name, header(name)])), {
    'ce-specversion': '1.0', 'ce-type': 'thing.made', 'ce-source': '/keel', 'ce-subject': id, 'content-type': 'application/json', traceparent, 'ce-traceparent': traceparent
  })
  t.match(header('ce-id'), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-/)
  t.equal(header('Nats-Msg-Id'), header('ce-id'))
  t.equal(header('ce-time'), JSON.parse(created!.string()).at)
})

t.test('an event that is published again is not stored again', withNats, async t => {
  const { prefix } = await service(t)
  const { jsm } = await server!.client()
  const { position } = await prisma.eventConsumer.findUniqueOrThrow({ where: { name: 'nats' } })
  for (const n of [1, 2, 3]) await record(n)
  await until(async () => (await stored(jsm, `${prefix}-events`)).length === 3)
  // As if the service had died after the answer of the server and before its commit.
  await prisma.eventConsumer.update({ where: { name: 'nats' }, data: { position } })
  await record(4)
  await until(async () => (await stored(jsm, `${prefix}-events`)).length >= 4)
  t.same((await stored(jsm, `${prefix}-events`)).map(message => message.json<{ n: number }>().n), [1, 2, 3, 4])
})

t.test('a stream that is deleted is made again', withNats, async t => {
  const { prefix } = await service(t)
  const { jsm } = await server!.client()
  await record(1)
  await until(async () => (await stored(jsm, `${prefix}-events`)).length === 1)
  await jsm.streams.delete(`${prefix}-events`)
  await record(2)
  await until(async () => (await stored(jsm, `${prefix}-events`)).length === 1)
  t.equal((await stored(jsm, `${prefix}-events`))[0]!.json<{ n: number }>().n, 2)
})

t.test('a stream that is there is left as it is', withNats, async t => {
  const { jsm } = await server!.client()
  const prefix = newPrefix()
  await jsm.streams.add({ name: `${prefix}-events`, subjects: [`${prefix}.events.>`], max_msgs: 2 })
  await service(t, server, { NATS_PREFIX: prefix })
  for (const n of [1, 2, 3]) await record(n)
  await until(async () => (await jsm.streams.info(`${prefix}-events`)).state.last_seq === 3)
  t.equal((await jsm.streams.info(`${prefix}-events`)).config.max_msgs, 2)
})

t.test('an event that the server never takes is set aside, and the others go on', withNats, async t => {
  const own = await natsServer(t, { config: 'max_payload: 4096' })
  const { prefix } = await service(t, own)
  const { jsm } = await own.client()
  await record(1, { text: 'x'.repeat(5_000) })
  await record(2, { type: 'not a subject' })
  await record(3)
  // The patience of the consumer is longer than a test should be.
  await until(async () => {
    await prisma.eventConsumer.updateMany({ where: { name: 'nats', retryAt: { not: null } }, data: { retryAt: new Date(), attempts: 5 } })
    return (await stored(jsm, `${prefix}-events`)).length === 1
  })
  const failures = await prisma.eventFailure.findMany({ where: { consumer: 'nats' }, orderBy: { position: 'asc' } })
  t.match(failures, [{ error: /payload/i }, { error: /can't be part of a NATS subject/ }])
})

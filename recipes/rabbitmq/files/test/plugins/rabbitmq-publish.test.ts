import { randomUUID } from 'node:crypto'
import t from 'tap'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { traceparent } from '../helpers/numbered.ts'
import { rabbitClient, withRabbit } from '../helpers/rabbitmq.ts'
import { listen, newPrefix, numberOf, rabbitServices } from '../helpers/rabbitmq-services.ts'
import { until } from '../helpers/until.ts'

const { prisma, record, service, consuming } = await rabbitServices(t)

t.test('the events of a thing are published as CloudEvents, in order', withRabbit, async t => {
  const { client, prefix } = await service(t)
  const own = await listen(client, prefix)
  const [id, thing] = [randomUUID(), { name: 'Lamp' }]
  for (const type of ['thing.made', 'thing.sold']) await inTransaction(prisma, tx => recordEvent(tx, { type, subject: id, data: { thingId: id, thing }, origin: { traceparent } }))
  await until(async () => await client.count(own) === 2)
  const messages = await client.drain(own)
  t.same(messages.map(({ fields }) => fields.routingKey), ['thing.made', 'thing.sold'])
  const { properties, content } = messages[0]!
  const body = JSON.parse(String(content))
  t.match(body, { type: 'thing.made', thingId: id, thing })
  t.match(properties, { contentType: 'application/json', deliveryMode: 2, type: 'thing.made', appId: '/keel', messageId: properties.headers?.['cloudEvents:id'] })
  t.match(properties.headers, {
    'cloudEvents:specversion': '1.0', 'cloudEvents:type': 'thing.made', 'cloudEvents:source': '/keel', 'cloudEvents:subject': id, 'cloudEvents:time': body.at, 'cloudEvents:traceparent': traceparent, traceparent
  })
})

t.test('an event that is published again has the same id', withRabbit, async t => {
  const prefix = newPrefix()
  const client = await rabbitClient(t)
  const queue = await listen(client, prefix)
  await service(t, { prefix })
  const { position } = await prisma.eventConsumer.findUniqueOrThrow({ where: { name: 'rabbitmq' } })
  await record(1)
  await until(async () => await client.count(queue) === 1)
  // As if the service had died after the answer of the server and before its commit.
  await prisma.eventConsumer.update({ where: { name: 'rabbitmq' }, data: { position } })
  await record(2)
  await until(async () => await client.count(queue) === 3)
  const ids = (await client.drain(queue)).map(({ properties }) => properties.messageId as string)
  t.equal(ids[0], ids[1])
  t.not(ids[1], ids[2])
})

t.test('an event that no queue is bound for is a warning, once for each type, and a count', withRabbit, async t => {
  const { app, lines } = await service(t)
  for (const n of [1, 2]) await record(n)
  await until(async () => /messages_unroutable_total\{broker="rabbitmq"\} 2/.test((await app.inject('/metrics')).body))
  t.match(lines.filter(({ msg }) => /no queue is bound/.test(msg)), [{ type: 'thing.changed' }])
  t.equal(lines.filter(({ msg }) => /no queue is bound/.test(msg)).length, 1)
})

t.test('with RABBITMQ_UNROUTABLE=hold it waits, in order, for a queue', withRabbit, async t => {
  const { client, prefix, lines } = await service(t, { RABBITMQ_UNROUTABLE: 'hold' })
  // The log has the first reason of an outage alone: not that there is no channel yet.
  const first = await listen(client, prefix)
  await record(0)
  await until(async () => await client.count(first) === 1)
  await client.channel.deleteQueue(first)
  for (const n of [1, 2]) await record(n)
  await until(() => lines.some(({ msg, err }) => /events can't be handled now/.test(msg) && /No queue of RabbitMQ is bound/.test((err as Error).message)))
  const queue = await listen(client, prefix)
  await until(async () => await client.count(queue) === 2)
  t.same((await client.drain(queue)).map(numberOf), [1, 2])
})

t.test('an event that is no routing key is set aside, and the others go on', withRabbit, async t => {
  const prefix = newPrefix()
  const client = await rabbitClient(t)
  const queue = await listen(client, prefix)
  await service(t, { prefix })
  await record(1, { type: `x${'.y'.repeat(200)}` })
  await record(2)
  // The patience of the consumer is longer than a test should be.
  await until(async () => {
    await prisma.eventConsumer.updateMany({ where: { name: 'rabbitmq', retryAt: { not: null } }, data: { retryAt: new Date(), attempts: 5 } })
    return await client.count(queue) === 1
  })
  t.match(await prisma.eventFailure.findMany({ where: { consumer: 'rabbitmq' } }), [{ error: /no routing key/ }])
  await prisma.eventFailure.deleteMany()
})

t.test('an exchange that is there as another type is one that is away; others go on', withRabbit, async t => {
  const prefix = newPrefix()
  const client = await rabbitClient(t)
  await client.channel.assertExchange(`${prefix}.events`, 'fanout')
  const { send, effects, lines } = await consuming(t, undefined, {}, { prefix })
  await until(() => lines.some(({ msg, err }) => /can't be set up now/.test(msg) && /PRECONDITION|inequivalent/.test((err as Error).message)))
  await send({ n: 1 })
  await until(async () => (await effects()).length === 1)
})

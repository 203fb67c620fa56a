import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Message } from '../../plugins/inbox/index.ts'
import { newProduct } from '../helpers/app.ts'
import { heedful, onServer, Payload, traceparent } from '../helpers/numbered.ts'
import { withRabbit } from '../helpers/rabbitmq.ts'
import { count, rabbitServices } from '../helpers/rabbitmq-services.ts'
import { until } from '../helpers/until.ts'

const { prisma, service, consuming } = await rabbitServices(t)

t.test('a message is handled once, also when its sender repeats it', withRabbit, async t => {
  const { send, effects, outcomes, prefix } = await consuming(t)
  await send({ n: 1 }, 'one')
  await send({ n: 1 }, 'one')
  await send({ n: 2 }, undefined, { headers: { 'cloudEvents:id': undefined }, messageId: 'two', appId: `/${prefix}` })
  await send({ n: 2 }, undefined, { headers: { 'cloudEvents:id': undefined, cloudEvents_id: 'two', cloudEvents_source: `/${prefix}` } })
  await until(async () => await outcomes('duplicate') === 2 && await outcomes('done') === 2)
  t.same(await effects(), [1, 2])
})

t.test('its handler sees what the sender said', withRabbit, async t => {
  const seen: Message<{ n: number }>[] = []
  const { send, prefix } = await consuming(t, async message => { seen.push(message) })
  await send({ n: 1 }, 'one', { headers: { 'cloudEvents:type': 'thing.changed', 'cloudEvents:subject': 'grüße', 'cloudEvents:time': { '!': 'timestamp', value: 1_767_225_600 }, traceparent } })
  await until(() => seen.length === 1)
  t.match(seen[0], { id: 'one', source: `/${prefix}`, type: 'thing.changed', subject: 'grüße', time: '2026-01-01T00:00:00.000Z', attempt: 1, origin: { traceparent } })
})

t.test('no more are under way than the consumer says', { skip: withRabbit.skip || onServer.skip }, async t => {
  let running = 0
  let most = 0
  const { send, effects } = await consuming(t, async () => {
    most = Math.max(most, ++running)
    await sleep(20)
    running--
  }, { concurrency: 3 })
  await Promise.all(count(30).map(n => send({ n })))
  await until(async () => (await effects()).length === 30)
  t.equal(most, 3)
})

t.test('an exchange that is not there yet is waited for, and a queue can be sent to without one', withRabbit, async t => {
  const handled: string[] = []
  const { client, prefix, lines } = await service(t, {}, fastify => {
    const consumer = { payload: Payload, handler: async ({ id }: { id: string }) => { handled.push(id) } }
    fastify.rabbitmq.consume({ ...consumer, name: 'numbers', exchange: fastify.config.RABBITMQ_PREFIX, keys: ['late'] })
    fastify.rabbitmq.consume({ ...consumer, name: 'others' })
  })
  await until(() => lines.some(({ msg, consumer }) => /can't be set up now/.test(msg) && consumer === 'numbers'))
  await until(async () => await client.count(`${prefix}.others`) !== undefined)
  await client.send('', `${prefix}.others`, { n: 1 }, { messageId: `direct-${prefix}` })
  await until(() => handled.includes(`direct-${prefix}`))
  await client.channel.assertExchange(prefix, 'direct')
  await until(async () => {
    await client.send(prefix, 'late', { n: 1 }, { messageId: `late-${prefix}` })
    return handled.includes(`late-${prefix}`)
  })
  t.equal(handled.filter(id => id === `late-${prefix}`).length, 1)
})

t.test('a queue that is deleted is declared again', withRabbit, async t => {
  const { send, effects, client, prefix } = await consuming(t)
  await send({ n: 1 })
  await until(async () => (await effects()).length === 1)
  await client.channel.deleteQueue(`${prefix}.numbers`)
  await until(async () => {
    await send({ n: 2 }, 'two')
    return (await effects()).length === 2
  })
  t.same(await effects(), [1, 2])
})

t.test('at shutdown what is under way ends and is settled; what waits is left for others', withRabbit, async t => {
  let begun = 0
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const { send, effects, app, client, prefix } = await consuming(t, async () => { begun++; await gate }, { concurrency: 2 })
  for (const n of [1, 2, 3, 4]) await send({ n })
  await until(() => begun === 2)
  const closing = app.close()
  open()
  await closing
  t.equal((await effects()).length, 2)
  await until(async () => (await client.count(`${prefix}.numbers`) ?? 0) >= 2)
  t.equal((await client.drain(`${prefix}.numbers`)).length, 2)
})

t.test('one that heeds its signal is given back at once, to another process', withRabbit, async t => {
  const { handler, attempts } = heedful()
  const { send, effects, app, prefix } = await consuming(t, handler, { concurrency: 1 }, { SHUTDOWN_GRACE_MS: 500 })
  await send({ n: 1 })
  await until(() => attempts.length === 1)
  await app.close()
  t.same(await effects(), [])
  const second = await consuming(t, handler, {}, { prefix })
  await until(async () => (await second.effects()).length === 1)
  t.same(attempts, [1, 2])
})

t.test('the sample: what the warehouse got in is in stock', withRabbit, async t => {
  const { app, lines, client, prefix } = await service(t)
  await until(async () => await client.count(`${prefix}.restock`) !== undefined)
  await client.channel.assertExchange('warehouse', 'topic', { durable: true })
  await client.channel.bindQueue(`${prefix}.restock`, 'warehouse', 'restocked')
  const product = await newProduct(app, { stock: 1 })
  for (const times of [1, 2]) await client.send('warehouse', 'restocked', { sku: product.sku, quantity: 5 }, { headers: { 'cloudEvents:id': `delivery-${prefix}`, 'cloudEvents:source': '/warehouse', times } })
  await until(() => lines.some(({ msg }) => /handled before came again/.test(msg)))
  t.equal((await prisma.product.findUniqueOrThrow({ where: { id: product.id } })).stock, 6)
})

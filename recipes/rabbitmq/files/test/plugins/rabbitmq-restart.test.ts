import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Type } from 'typebox'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { buildApp, newProduct } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { rabbitClient, rabbitServer, withOwnRabbit, type RabbitClient } from '../helpers/rabbitmq.ts'
import { until } from '../helpers/until.ts'

/** A start takes seconds. */
const KILLS = 1
const web = await buildApp(t)
const { prisma } = web

t.test('a server that is killed and started again under load', withOwnRabbit, async t => {
  const server = await rabbitServer(t, 'max_message_size = 65536')
  const product = await newProduct(web, { stock: 0 })
  const setUp = await rabbitClient(t, server.url)
  await setUp.channel.assertExchange('keel.events', 'topic', { durable: true })
  await setUp.channel.assertQueue('listener', { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  await setUp.channel.bindQueue('listener', 'keel.events', '#')
  let calls = 0
  const { lines } = await buildLogged(t, { ROLE: 'all', RABBITMQ_URL: server.url }, fastify => fastify.rabbitmq.consume({
    name: 'deliveries',
    exchange: 'deliveries',
    keys: ['#'],
    create: 'topic',
    payload: Type.Object({ quantity: Type.Integer() }),
    handler: async ({ payload }, tx) => {
      calls++
      await tx.product.update({ where: { id: product.id }, data: { stock: { increment: payload.quantity } } })
      await sleep(3)
    }
  }))
  await until(async () => await setUp.count('keel.deliveries') !== undefined)
  await setUp.channel.assertExchange('deliveries', 'topic', { durable: true })
  await setUp.channel.bindQueue('keel.deliveries', 'deliveries', '#')

  const working = new AbortController()
  let recorded = 0
  let sent = 0
  const recording = (async () => {
    while (!working.signal.aborted) {
      await inTransaction(prisma, tx => recordEvent(tx, { type: 'thing.changed', subject: randomUUID(), data: { n: recorded } }))
      recorded++
      await sleep(5)
    }
  })()
  // A sender of the other kind: it repeats what it has no answer for, with the same id. It does not end before it has one.
  const sending = (async () => {
    let client: RabbitClient | undefined
    while (!working.signal.aborted) {
      for (let isSent = false; !isSent;) {
        try {
          client ??= await rabbitClient(t, server.url)
          await client.send('deliveries', 'n', { quantity: 1 }, { messageId: `delivery-${sent}` })
          isSent = true
        } catch {
          client = undefined
          await sleep(50)
        }
      }
      sent++
      await sleep(3)
    }
  })()

  for (let kill = 0; kill < KILLS; kill++) {
    const before = { recorded, sent, calls }
    await until(() => recorded > before.recorded + 50 && sent > before.sent + 30 && calls > before.calls + 30)
    await server.kill()
    await server.start()
  }
  working.abort()
  await Promise.all([recording, sending])

  await t.test('every event arrives, each for the first time in the order of the log', async t => {
    const { drain } = await rabbitClient(t, server.url)
    const arrived: number[] = []
    await until(async () => {
      arrived.push(...(await drain('listener')).map(({ content }) => (JSON.parse(String(content)) as { n: number }).n))
      return arrived.includes(recorded - 1)
    })
    t.same([...new Set(arrived)], Array.from({ length: recorded }, (_, n) => n))
    t.equal(await prisma.eventFailure.count({ where: { consumer: 'rabbitmq' } }), 0)
    t.comment({ recorded, arrived: arrived.length, sent, calls })
  })

  await t.test('every message has its effect once', async t => {
    const { count } = await rabbitClient(t, server.url)
    const stock = async () => (await prisma.product.findUniqueOrThrow({ where: { id: product.id } })).stock
    await until(async () => await stock() >= sent && await count('keel.deliveries') === 0)
    t.equal(await stock(), sent)
    t.equal(await count('keel.deliveries.dead'), 0)
    t.ok(lines.filter(({ msg }) => msg === 'RabbitMQ is back').length >= KILLS)
  })

  await t.test('an event that is larger than it takes is set aside, and the others go on', async t => {
    const { count } = await rabbitClient(t, server.url)
    await inTransaction(prisma, tx => recordEvent(tx, { type: 'thing.changed', subject: 'large', data: { n: -1, text: 'x'.repeat(70_000) } }))
    await inTransaction(prisma, tx => recordEvent(tx, { type: 'thing.changed', subject: 'small', data: { n: -2 } }))
    // The patience of the consumer is longer than a test should be.
    await until(async () => {
      await prisma.eventConsumer.updateMany({ where: { name: 'rabbitmq', retryAt: { not: null } }, data: { retryAt: new Date(), attempts: 5 } })
      return await count('listener') === 1
    })
    t.match(await prisma.eventFailure.findMany({ where: { consumer: 'rabbitmq' } }), [{ subject: 'large', error: /message size/ }])
  })
})

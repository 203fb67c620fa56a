import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { loadConfig, type Config } from '../../plugins/config/index.ts'
import type { Message } from '../../plugins/inbox/index.ts'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { buildApp, newProduct } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { createProxy } from '../helpers/proxy.ts'
import { rabbitClient, rabbitUrl, withRabbit, type RabbitClient } from '../helpers/rabbitmq.ts'
import { until } from '../helpers/until.ts'

const web = await buildApp(t)
const { prisma } = web
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const SAMPLE_DELAYS = [1_000, 2_000, 4_000, 8_000, 16_000]

/** The server is shared: names of this run alone. */
const newPrefix = () => `test-${randomUUID().slice(0, 8)}`
const Payload = Type.Object({ n: Type.Integer() }, { additionalProperties: false })
type Handler = (message: Message<{ n: number }>) => Promise<void>
const numberOf = ({ content }: { content: Buffer }) => (JSON.parse(String(content)) as { n: number }).n
const count = (to: number) => Array.from({ length: to }, (_, n) => n)

async function record (n: number, type = 'thing.changed'): Promise<void> {
  await inTransaction(prisma, tx => recordEvent(tx, { type, subject: randomUUID(), data: { n } }))
}

/** A service with names of its own on the server, which go with the test; and a client. */
async function service (t: Test, { prefix = newPrefix(), ...config }: Partial<Config> & { prefix?: string } = {}, extend?: (fastify: FastifyInstance) => void) {
  const client = await rabbitClient(t)
  // The place in the log is of the database: each test begins where the log ends.
  await prisma.eventConsumer.deleteMany({ where: { name: 'rabbitmq' } })
  const { app, lines } = await buildLogged(t, { ROLE: 'all', RABBITMQ_URL: rabbitUrl, RABBITMQ_PREFIX: prefix, ...config }, extend)
  t.teardown(async () => {
    await app.close()
    const cleaner = await rabbitClient(t)
    const delays = [...SAMPLE_DELAYS, 20, 40]
    for (const name of ['restock', 'numbers', 'others']) {
      for (const queue of [name, `${name}.dead`, ...delays.map(delay => `${name}.retry.${delay}`)]) await cleaner.channel.deleteQueue(`${prefix}.${queue}`)
    }
    for (const exchange of [`${prefix}.events`, prefix]) await cleaner.channel.deleteExchange(exchange)
  })
  return { app, lines, prefix, client }
}

/** A queue that gets all events of a service. */
async function listen ({ channel }: RabbitClient, prefix: string, key = '#'): Promise<string> {
  await channel.assertExchange(`${prefix}.events`, 'topic', { durable: true })
  const { queue } = await channel.assertQueue('', { exclusive: true })
  await channel.bindQueue(queue, `${prefix}.events`, key)
  return queue
}

/** A service that consumes numbers, and a client that sends them. */
async function consuming (t: Test, handler: Handler = async () => {}, options: object = {}, config: Partial<Config> & { prefix?: string } = {}) {
  const prefix = config.prefix ?? newPrefix()
  const built = await service(t, { prefix, ...config }, fastify => fastify.rabbitmq.consume({
    name: 'numbers',
    exchange: prefix,
    keys: ['n.*'],
    create: 'topic',
    payload: Payload,
    retry: { limit: 2, delayMs: 20 },
    ...options,
    handler: async (message, tx) => {
      await handler(message)
      await tx.mail.create({ data: { id: randomUUID(), recipient: prefix, subject: String(message.payload.n), text: '' } })
    }
  }))
  const { client } = built
  await until(async () => await client.count(`${prefix}.numbers`) !== undefined)
  await client.channel.assertExchange(prefix, 'topic', { durable: true })
  await client.channel.bindQueue(`${prefix}.numbers`, prefix, 'n.*')
  const send = async (payload: unknown, id: string | undefined = randomUUID(), { headers, ...more }: { headers?: object, [name: string]: unknown } = {}) => await client.send(prefix, 'n.one', payload, { headers: { 'cloudEvents:id': id, 'cloudEvents:source': `/${prefix}`, ...headers }, ...more })
  const effects = async () => (await prisma.mail.findMany({ where: { recipient: prefix } })).map(({ subject }) => Number(subject)).sort((a, b) => a - b)
  const outcomes = async (outcome: string) => Number(new RegExp(`messages_handled_total\\{broker="rabbitmq",consumer="numbers",outcome="${outcome}"\\} (\\d+)`).exec((await built.app.inject('/metrics')).body)?.[1])
  return { ...built, prefix, send, effects, outcomes, dead: `${prefix}.numbers.dead` }
}

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

t.test('without RABBITMQ_URL nothing happens, and the log says so', async t => {
  await prisma.eventConsumer.deleteMany({ where: { name: 'rabbitmq' } })
  const { app, lines } = await buildLogged(t, { ROLE: 'all' })
  t.match(lines.find(({ msg }) => /RABBITMQ_URL is not set/.test(msg)), { consumers: ['restock'] })
  t.equal(await prisma.eventConsumer.count({ where: { name: 'rabbitmq' } }), 0)
  t.notMatch((await app.inject('/metrics')).body, 'broker_connected{broker="rabbitmq"}')
})

t.test('a web process takes the place in the log, and does not connect', async t => {
  await prisma.eventConsumer.deleteMany({ where: { name: 'rabbitmq' } })
  const { app } = await buildLogged(t, { ROLE: 'web', RABBITMQ_URL: 'amqp://127.0.0.1:1' })
  t.equal(await prisma.eventConsumer.count({ where: { name: 'rabbitmq' } }), 1)
  t.notMatch((await app.inject('/metrics')).body, 'broker_connected{broker="rabbitmq"}')
})

t.test('a service starts while the server is away, is ready, and publishes when it is there: in order, nothing set aside', withRabbit, async t => {
  const proxy = await createProxy(t, rabbitUrl)
  const prefix = newPrefix()
  const client = await rabbitClient(t)
  const queue = await listen(client, prefix)
  const { app, lines } = await service(t, { prefix, RABBITMQ_URL: proxy.url })
  for (const n of count(30)) await record(n)
  await until(() => lines.some(({ msg }) => /RabbitMQ is away/.test(msg)) && lines.some(({ msg }) => /events can't be handled now/.test(msg)))
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  t.match((await app.inject('/metrics')).body, 'broker_connected{broker="rabbitmq"} 0')
  await proxy.open()
  await until(async () => await client.count(queue) === 30)
  t.same((await client.drain(queue)).map(numberOf), count(30))
  t.equal(await prisma.eventFailure.count({ where: { consumer: 'rabbitmq' } }), 0)
  const { body } = await app.inject('/metrics')
  t.match(body, 'broker_connected{broker="rabbitmq"} 1')
  await until(async () => /messages_published_total\{broker="rabbitmq"\} 30/.test((await app.inject('/metrics')).body))
})

t.test('a service whose server never came ends all the same', async t => {
  await prisma.eventConsumer.deleteMany({ where: { name: 'rabbitmq' } })
  const { app } = await buildLogged(t, { ROLE: 'all', RABBITMQ_URL: 'amqp://127.0.0.1:1' })
  await record(1)
  await app.close()
})

t.test('connections that are cut under load: every event arrives, in order, and every message has its effect once', withRabbit, async t => {
  const proxy = await createProxy(t, rabbitUrl)
  await proxy.open()
  const prefix = newPrefix()
  const listener = await rabbitClient(t)
  const queue = await listen(listener, prefix)
  let calls = 0
  const { send, effects, lines } = await consuming(t, async () => { calls++; await sleep(3) }, {}, { prefix, RABBITMQ_URL: proxy.url })
  const working = new AbortController()
  let recorded = 0
  let sent = 0
  const recording = (async () => { while (!working.signal.aborted) { await record(recorded); recorded++; await sleep(2) } })()
  const sending = (async () => { while (!working.signal.aborted) { await send({ n: sent }); sent++; await sleep(2) } })()
  for (let cut = 0; cut < 4; cut++) {
    const before = { recorded, sent, calls }
    await until(() => recorded > before.recorded + 30 && sent > before.sent + 30 && calls > before.calls + 30)
    await proxy.cut()
    await sleep(100)
    await proxy.open()
  }
  working.abort()
  await Promise.all([recording, sending])
  await until(async () => (await effects()).length >= sent)
  t.same(await effects(), count(sent))
  const arrived: number[] = []
  await until(async () => { arrived.push(...(await listener.drain(queue)).map(numberOf)); return arrived.includes(recorded - 1) })
  t.same([...new Set(arrived)], count(recorded), 'each for the first time in the order of the log')
  t.equal(await prisma.eventFailure.count({ where: { consumer: 'rabbitmq' } }), 0)
  t.ok(lines.some(({ msg }) => msg === 'RabbitMQ is back'))
  t.comment({ recorded, arrived: arrived.length, sent, calls })
})

t.test('a connection on which nothing passes any more is given up', withRabbit, async t => {
  const proxy = await createProxy(t, `${rabbitUrl}?heartbeat=1`)
  await proxy.open()
  const { send, effects, lines } = await consuming(t, undefined, {}, { RABBITMQ_URL: proxy.url })
  await send({ n: 1 })
  await until(async () => (await effects()).length === 1)
  proxy.silence()
  await send({ n: 2 })
  await until(async () => (await effects()).length === 2)
  t.ok(lines.some(({ msg }) => /RabbitMQ is away/.test(msg)))
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
  await record(1, `x${'.y'.repeat(200)}`)
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

t.test('a server that refuses the credentials is one that is away, and nobody reads them in the log', withRabbit, async t => {
  const url = new URL(rabbitUrl)
  url.password = 'a-secret'
  const { lines } = await service(t, { RABBITMQ_URL: url.href })
  await until(() => lines.some(({ msg }) => /RabbitMQ is away/.test(msg)))
  t.notMatch(JSON.stringify(lines), /a-secret/)
})

t.test('settings that can\'t be are refused', async t => {
  for (const url of ['http://127.0.0.1', 'rabbit', '127.0.0.1:5672']) t.throws(() => loadConfig({ RABBITMQ_URL: url }), /RABBITMQ_URL: expected a URL that starts with amqp:\/\/ or amqps:\/\//, url)
  t.throws(() => loadConfig({ RABBITMQ_UNROUTABLE: 'lose' }), /RABBITMQ_UNROUTABLE: expected one of drop, hold/)
  await t.rejects(buildApp(t, { RABBITMQ_PREFIX: 'a.b' }), /RABBITMQ_PREFIX: expected letters/)
  await t.rejects(buildApp(t, { ROLE: 'all', RABBITMQ_URL: 'amqp:///x' }), /RABBITMQ_URL: expected a URL with a host/)
})

t.test('a consumer that is declared badly, twice or too late stops the start', async t => {
  const good = { name: 'a', payload: Payload, handler: async () => {} }
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => fastify.rabbitmq.consume({ ...good, name: 'a b' }))), /not well declared/)
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => { fastify.rabbitmq.consume(good); fastify.rabbitmq.consume(good) })), /declared twice/)
  t.throws(() => web.rabbitmq.consume(good), /too late/)
})

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
  t.match((await client.drain(dead))[0]!.properties.headers, { 'dead-headers': 'too large', 'dead-reason': /not JSON/, much: undefined })
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

t.test('no more are under way than the consumer says', withRabbit, async t => {
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

t.test('a dead letter whose queue was deleted is not lost', withRabbit, async t => {
  const { send, effects, client, dead } = await consuming(t)
  await client.channel.deleteQueue(dead)
  await send('nonsense')
  await send({ n: 1 })
  await until(async () => await client.count(dead) === 1)
  await until(async () => (await effects()).length === 1)
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
  let isFirst = true
  const attempts: number[] = []
  const handler: Handler = async ({ signal, attempt }) => {
    attempts.push(attempt)
    if (!isFirst) return
    isFirst = false
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const { send, effects, app, prefix } = await consuming(t, handler, { concurrency: 1 }, { SHUTDOWN_GRACE_MS: 500 })
  await send({ n: 1 })
  await until(() => !isFirst)
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

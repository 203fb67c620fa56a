import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { Config } from '../../plugins/config/index.ts'
import { loadConfig } from '../../plugins/config/index.ts'
import type { Message } from '../../plugins/inbox/index.ts'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { buildApp, newProduct } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { headersOf, natsServer, stored, withNats, type NatsServer } from '../helpers/nats.ts'
import { until } from '../helpers/until.ts'

const web = await buildApp(t)
const { prisma } = web
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const server: NatsServer | undefined = withNats.skip === false ? await natsServer(t) : undefined

let prefixes = 0
const newPrefix = () => `test-${++prefixes}`
const Payload = Type.Object({ n: Type.Integer() }, { additionalProperties: false })
type Handler = (message: Message<{ n: number }>) => Promise<void>

async function record (n: number, { type = 'thing.changed', ...rest }: { type?: string, origin?: object, text?: string } = {}): Promise<void> {
  const { text, ...more } = rest
  await inTransaction(prisma, tx => recordEvent(tx, { type, subject: randomUUID(), data: { n, text }, ...more }))
}

/** The place in the log is of the database: each test begins where the log ends. */
async function fromHere (): Promise<void> {
  await prisma.eventConsumer.deleteMany({ where: { name: 'nats' } })
}

/** A service on a server, with names of its own there. */
async function service (t: Test, on = server!, config: Partial<Config> = {}, extend?: (fastify: FastifyInstance) => void) {
  await fromHere()
  const prefix = config.NATS_PREFIX ?? newPrefix()
  const { app, lines } = await buildLogged(t, { ROLE: 'all', NATS_URL: on.url, NATS_PREFIX: prefix, ...config }, extend)
  return { app, lines, prefix }
}

/** A service that consumes numbers, and a client that publishes them. */
async function consuming (t: Test, handler: Handler = async () => {}, options: object = {}, config: Partial<Config> = {}, on = server!) {
  const client = await on.client()
  const stream = `numbers-${newPrefix()}`
  await client.jsm.streams.add({ name: stream, subjects: [`${stream}.>`] })
  const handled: number[] = []
  const built = await service(t, on, config, fastify => fastify.nats.consume({
    name: stream,
    stream,
    subject: `${stream}.*`,
    payload: Payload,
    from: 'beginning',
    retry: { limit: 2, delayMs: 20 },
    ...options,
    handler: async (message, tx) => {
      await handler(message)
      await tx.mail.create({ data: { id: randomUUID(), recipient: stream, subject: String(message.payload.n), text: '' } })
      handled.push(message.payload.n)
    }
  }))
  const send = async (payload: unknown, given: Record<string, string> = {}) => await client.js.publish(`${stream}.n`, typeof payload === 'string' ? payload : JSON.stringify(payload), { headers: headersOf({ 'ce-id': randomUUID(), 'ce-source': '/test', ...given }) })
  const effects = async () => (await prisma.mail.findMany({ where: { recipient: stream } })).map(({ subject }) => Number(subject)).sort((a, b) => a - b)
  const dead = async () => await stored(client.jsm, `${built.prefix}-dead`)
  const pending = async () => (({ num_ack_pending: unsettled, num_pending: waiting }) => unsettled + waiting)(await client.jsm.consumers.info(stream, `${built.prefix}-${stream}`))
  return { ...built, client, stream, handled, send, effects, dead, pending }
}

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

t.test('without NATS_URL nothing happens, and the log says so', async t => {
  await fromHere()
  const { app, lines } = await buildLogged(t, { ROLE: 'all' })
  t.match(lines.find(({ msg }) => /NATS_URL is not set/.test(msg)), { consumers: ['restock'] })
  t.equal(await prisma.eventConsumer.count({ where: { name: 'nats' } }), 0)
  t.notMatch((await app.inject('/metrics')).body, 'broker_connected{broker="nats"}')
})

t.test('a web process takes the place in the log, and does not connect', withNats, async t => {
  await fromHere()
  const { app } = await buildLogged(t, { ROLE: 'web', NATS_URL: 'nats://127.0.0.1:1' })
  t.equal(await prisma.eventConsumer.count({ where: { name: 'nats' } }), 1)
  t.notMatch((await app.inject('/metrics')).body, 'broker_connected{broker="nats"}')
})

t.test('a service starts while the server is away, is ready, and publishes when it is there: in order, nothing set aside', withNats, async t => {
  const own = await natsServer(t, { isStarted: false })
  const { app, lines, prefix } = await service(t, own)
  for (let n = 0; n < 30; n++) await record(n)
  await until(() => lines.some(({ msg }) => /NATS is away/.test(msg)) && lines.some(({ msg }) => /events can't be handled now/.test(msg)))
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  t.match((await app.inject('/metrics')).body, 'broker_connected{broker="nats"} 0')
  await own.start()
  const { jsm } = await own.client()
  await until(async () => (await stored(jsm, `${prefix}-events`)).length === 30)
  t.same((await stored(jsm, `${prefix}-events`)).map(message => message.json<{ n: number }>().n), Array.from({ length: 30 }, (_, n) => n))
  t.equal(await prisma.eventFailure.count({ where: { consumer: 'nats' } }), 0)
  t.match((await app.inject('/metrics')).body, /broker_connected\{broker="nats"\} 1[\s\S]*|messages_published_total\{broker="nats"\} 30/)
})

t.test('a service whose server never came ends all the same', withNats, async t => {
  const { app } = await service(t, { url: 'nats://127.0.0.1:1' } as NatsServer)
  await record(1)
  await app.close()
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

t.test('a server that refuses the credentials is one that is away; with the right ones it works', withNats, async t => {
  const own = await natsServer(t, { config: 'authorization { users: [{ user: "keel", password: "p@ss word" }] }', url: port => `nats://keel:p%40ss%20word@127.0.0.1:${port}` })
  const wrong = own.url.replace('p%40ss', 'secret')
  const { app, lines } = await service(t, { ...own, url: wrong })
  await until(() => lines.some(({ msg }) => /NATS is away/.test(msg)))
  t.notMatch(JSON.stringify(lines), /secret|p@ss/)
  await app.close()
  const right = await service(t, own)
  await record(1)
  await until(async () => /messages_published_total\{broker="nats"\} 1/.test((await right.app.inject('/metrics')).body))
})

t.test('so with a token', withNats, async t => {
  const own = await natsServer(t, { config: 'authorization { token: "t0ken" }', url: port => `nats://t0ken@127.0.0.1:${port}` })
  const { app } = await service(t, own)
  await record(1)
  await until(async () => /messages_published_total\{broker="nats"\} 1/.test((await app.inject('/metrics')).body))
})

t.test('settings that can\'t be are refused', async t => {
  for (const url of ['http://127.0.0.1', 'nats', '127.0.0.1:4222']) t.throws(() => loadConfig({ NATS_URL: url }), /NATS_URL: expected a URL that starts with nats:\/\/ or tls:\/\//, url)
  await t.rejects(buildApp(t, { NATS_PREFIX: 'a.b' }), /NATS_PREFIX: expected letters/)
  await t.rejects(buildApp(t, { ROLE: 'all', NATS_URL: 'nats:///x' }), /NATS_URL: expected a URL with a host/)
})

t.test('a consumer that is declared badly, twice or too late stops the start', async t => {
  const good = { name: 'a', stream: 's', subject: 's.a', payload: Payload, handler: async () => {} }
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => fastify.nats.consume({ ...good, name: 'a b' }))), /not well declared/)
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => { fastify.nats.consume(good); fastify.nats.consume(good) })), /declared twice/)
  const app = await buildApp(t)
  t.throws(() => app.nats.consume(good), /too late/)
})

t.test('a message is handled once, also when its sender repeats it', withNats, async t => {
  const { send, effects, pending, app } = await consuming(t)
  await send({ n: 1 }, { 'ce-id': 'one' })
  await send({ n: 1 }, { 'ce-id': 'one' })
  await send({ n: 2 })
  await until(async () => (await effects()).length === 2 && await pending() === 0)
  t.same(await effects(), [1, 2])
  t.match((await app.inject('/metrics')).body, /messages_handled_total\{broker="nats",consumer="[^"]+",outcome="duplicate"\} 1/)
})

t.test('its handler sees what the sender said, headers percent-decoded', withNats, async t => {
  const seen: Message<{ n: number }>[] = []
  const { send } = await consuming(t, async message => { seen.push(message) })
  await send({ n: 1 }, { 'ce-id': 'one', 'ce-type': 'thing.changed', 'ce-subject': 'gr%C3%BC%C3%9Fe', 'CE-Time': '2026-01-01T00:00:00Z', traceparent })
  await until(() => seen.length === 1)
  t.match(seen[0], { id: 'one', source: '/test', type: 'thing.changed', subject: 'grüße', time: '2026-01-01T00:00:00Z', attempt: 1, origin: { traceparent } })
})

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

t.test('no more are under way than the consumer says, and each process has its own', withNats, async t => {
  let running = 0
  let most = 0
  const { send, effects } = await consuming(t, async () => {
    most = Math.max(most, ++running)
    await new Promise(resolve => setTimeout(resolve, 20))
    running--
  }, { concurrency: 3 })
  await Promise.all(Array.from({ length: 30 }, (_, n) => send({ n })))
  await until(async () => (await effects()).length === 30)
  t.equal(most, 3)
})

t.test('a stream that is not there yet is waited for', withNats, async t => {
  const { jsm, js } = await server!.client()
  const stream = `late-${newPrefix()}`
  const handled: number[] = []
  const { lines } = await service(t, server, {}, fastify => fastify.nats.consume({ name: stream, stream, subject: `${stream}.n`, payload: Payload, from: 'beginning', handler: async ({ payload }) => { handled.push(payload.n) } }))
  await until(() => lines.some(({ msg, consumer }) => /no messages can be taken now/.test(msg) && consumer === stream))
  await jsm.streams.add({ name: stream, subjects: [`${stream}.>`] })
  await js.publish(`${stream}.n`, '{"n":1}')
  await until(() => handled.length === 1)
})

t.test('a durable consumer that is deleted is made again, and one with another subject is changed', withNats, async t => {
  const { send, effects, client, stream, prefix } = await consuming(t)
  await send({ n: 1 })
  await until(async () => (await effects()).length === 1)
  await client.jsm.consumers.delete(stream, `${prefix}-${stream}`)
  await send({ n: 2 })
  await until(async () => (await effects()).length === 2)
  t.same(await effects(), [1, 2], 'what was handled before is not handled again')
  await service(t, server, { NATS_PREFIX: prefix }, fastify => fastify.nats.consume({ name: stream, stream, subject: `${stream}.other`, payload: Payload, handler: async () => {} }))
  await until(async () => (await client.jsm.consumers.info(stream, `${prefix}-${stream}`)).config.filter_subject === `${stream}.other`)
})

t.test('at shutdown what is under way ends and is settled; what waits is left for others', withNats, async t => {
  let begun = 0
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const { send, effects, app, pending } = await consuming(t, async () => { begun++; await gate }, { concurrency: 2 })
  for (const n of [1, 2, 3, 4]) await send({ n })
  await until(() => begun === 2)
  const closing = app.close()
  open()
  await closing
  t.equal((await effects()).length, 2)
  await until(async () => await pending() === 2)
})

t.test('one that heeds its signal is given back at once, to another process', withNats, async t => {
  let isFirst = true
  const handler: Handler = async ({ signal }) => {
    if (!isFirst) return
    isFirst = false
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const { send, effects, app, stream, prefix } = await consuming(t, handler, { concurrency: 1 }, { SHUTDOWN_GRACE_MS: 500 })
  await send({ n: 1 })
  await until(() => !isFirst)
  await app.close()
  t.same(await effects(), [])
  const seen: number[] = []
  await service(t, server, { NATS_PREFIX: prefix }, fastify => fastify.nats.consume({ name: stream, stream, subject: `${stream}.*`, payload: Payload, handler: async ({ attempt }) => { seen.push(attempt) } }))
  await until(() => seen.length === 1)
  t.same(seen, [2])
})

t.test('the sample: what the warehouse got in is in stock', withNats, async t => {
  const { app, lines } = await service(t)
  const { js, jsm } = await server!.client()
  await until(async () => await jsm.streams.info('warehouse').catch(() => undefined))
  await until(async () => (await jsm.consumers.list('warehouse').next()).length > 0)
  const product = await newProduct(app, { stock: 1 })
  await js.publish('warehouse.restocked', JSON.stringify({ sku: product.sku, quantity: 5 }), { headers: headersOf({ 'ce-id': 'delivery-1', 'ce-source': '/warehouse' }) })
  await js.publish('warehouse.restocked', JSON.stringify({ sku: product.sku, quantity: 5 }), { headers: headersOf({ 'ce-id': 'delivery-1', 'ce-source': '/warehouse' }) })
  await until(() => lines.some(({ msg }) => /handled before came again/.test(msg)))
  t.equal((await prisma.product.findUniqueOrThrow({ where: { id: product.id } })).stock, 6)
})

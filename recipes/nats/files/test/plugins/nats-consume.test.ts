import t from 'tap'
import type { Message } from '../../plugins/inbox/index.ts'
import { newProduct } from '../helpers/app.ts'
import { headersOf, withNats } from '../helpers/nats.ts'
import { natsServices, newPrefix } from '../helpers/nats-services.ts'
import { heedful, onServer, Payload, traceparent } from '../helpers/numbered.ts'
import { until } from '../helpers/until.ts'

const { prisma, server, service, consuming } = await natsServices(t)

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

t.test('no more are under way than the consumer says, and each process has its own', { skip: withNats.skip || onServer.skip }, async t => {
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

t.test('a stream that is made anew, and counts from 1 again, has other messages', withNats, async t => {
  const { send, effects, dead, client, stream } = await consuming(t)
  const bare = async (n: number) => await client.js.publish(`${stream}.n`, JSON.stringify({ n }))
  await bare(1)
  await send('no json 1')
  await until(async () => (await effects()).length === 1 && (await dead()).length === 1)
  await client.jsm.streams.delete(stream)
  await client.jsm.streams.add({ name: stream, subjects: [`${stream}.>`] })
  t.equal((await bare(2)).seq, 1)
  await send('no json 2')
  await until(async () => (await effects()).length === 2 && (await dead()).length === 2)
  t.same(await effects(), [1, 2])
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
  const { handler, attempts } = heedful()
  const { send, effects, app, stream, prefix } = await consuming(t, handler, { concurrency: 1 }, { SHUTDOWN_GRACE_MS: 500 })
  await send({ n: 1 })
  await until(() => attempts.length === 1)
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

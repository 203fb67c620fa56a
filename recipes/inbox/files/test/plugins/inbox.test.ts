import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { loadConfig } from '../../plugins/config/index.ts'
import { BrokerAwayError } from '../../plugins/inbox/broker-away.ts'
import { toCloudEvent } from '../../plugins/inbox/cloud-event.ts'
import { completeConsumer, type MessageConsumerDefinition, type MessageHandler } from '../../plugins/inbox/definition.ts'
import type { Delivery, Outcome } from '../../plugins/inbox/index.ts'
import { buildApp, testDatabase } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { createProxy } from '../helpers/proxy.ts'
import { until } from '../helpers/until.ts'

const app = await buildApp(t)
const { prisma } = app
const Payload = Type.Object({ n: Type.Integer(), text: Type.Optional(Type.String()) }, { additionalProperties: false })
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

let consumers = 0
/** A consumer of its own, whose handler leaves a mail each time: through its transaction. */
function consumerOf (handler: MessageHandler<{ n: number }> = async () => {}, options: Partial<MessageConsumerDefinition<typeof Payload>> = {}) {
  const name = `consumer-${++consumers}`
  return completeConsumer({
    name,
    payload: Payload,
    ...options,
    handler: async (message, tx) => {
      await tx.mail.create({ data: { id: randomUUID(), recipient: name, subject: String(message.payload.n), text: '' } })
      await handler(message, tx)
    }
  })
}
const effects = async ({ name }: { name: string }) => await prisma.mail.count({ where: { recipient: name } })
const noted = async ({ name }: { name: string }) => await prisma.handledMessage.count({ where: { consumer: `test/${name}` } })

function delivery (payload: unknown, { id = randomUUID(), ...rest }: Partial<Delivery> & { id?: string } = {}): Delivery {
  return { body: Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)), contentType: 'application/json', attributes: { specversion: '1.0', id, source: '/elsewhere', type: 'thing.changed' }, own: { source: 'test', id: undefined }, attempt: 1, ...rest }
}

async function take (consumer: ReturnType<typeof consumerOf>, given: Delivery, on: FastifyInstance = app): Promise<Outcome> {
  let outcome: Outcome | undefined
  await on.inbox.take('test', consumer, given, async settled => { outcome = settled })
  return outcome!
}

t.test('a message is handled once, however often it comes', async t => {
  const consumer = consumerOf()
  const message = delivery({ n: 1 })
  t.same(await take(consumer, message), { kind: 'done' })
  t.same(await take(consumer, { ...message, attempt: 2 }), { kind: 'duplicate' })
  t.equal(await effects(consumer), 1)
  t.same(await take(consumerOf(), message), { kind: 'done' }, 'another consumer has its own')
  t.same(await take(consumer, delivery({ n: 1 }, { attributes: { ...message.attributes, source: '/another' } })), { kind: 'done' }, 'so has another source')
})

t.test('of two deliveries at once one has the effect', async t => {
  const consumer = consumerOf()
  const message = delivery({ n: 1 })
  const outcomes = await Promise.all([1, 2, 3].map(() => take(consumer, message)))
  t.same(outcomes.map(({ kind }) => kind).sort(), ['done', 'duplicate', 'duplicate'])
  t.equal(await effects(consumer), 1)
})

t.test('its handler sees what the sender said', async t => {
  let seen: unknown
  const consumer = consumerOf(async ({ log, signal, ...message }) => { seen = message })
  const attributes = { id: 'the-id', source: '/elsewhere', type: 'thing.changed', subject: 'a thing', time: '2026-01-01T00:00:00Z', traceparent }
  await take(consumer, delivery({ n: 7 }, { attributes, attempt: 3 }))
  t.same(seen, { id: 'the-id', source: '/elsewhere', type: 'thing.changed', subject: 'a thing', time: '2026-01-01T00:00:00Z', payload: { n: 7 }, attempt: 3, origin: { traceparent } })
  await take(consumer, delivery({ n: 8 }, { attributes: { ...attributes, id: 'another', traceparent: 'nonsense' } }))
  t.match(seen, { id: 'another', origin: {} })
})

t.test('a CloudEvent in the JSON event format is read as well', async t => {
  let seen: unknown
  const consumer = consumerOf(async ({ id, source, type, payload }) => { seen = { id, source, type, payload } })
  const envelope = { specversion: '1.0', id: 'e-1', source: '/s', type: 'thing.changed', data: { n: 1 } }
  t.same(await take(consumer, delivery(envelope, { contentType: 'application/cloudevents+json; charset=utf-8', attributes: {} })), { kind: 'done' })
  t.same(seen, { id: 'e-1', source: '/s', type: 'thing.changed', payload: { n: 1 } })
})

t.test('without an id of the sender, the payload may give one, or the broker', async t => {
  const consumer = consumerOf(undefined, { idOf: ({ text = '' }) => text })
  const bare = { attributes: {}, own: { source: 'test', id: '17' } }
  t.same(await take(consumer, delivery({ n: 1, text: 'a' }, bare)), { kind: 'done' })
  t.same(await take(consumer, delivery({ n: 1, text: 'a' }, { ...bare, own: { source: 'test', id: '18' } })), { kind: 'duplicate' })
  t.same(await take(consumer, delivery({ n: 1 }, bare)), { kind: 'done' })
  t.same(await take(consumer, delivery({ n: 1 }, bare)), { kind: 'duplicate' })
})

t.test('what can\'t be read is a dead letter at once, and its handler never sees it', async t => {
  const consumer = consumerOf()
  const cases: [string, Delivery, RegExp][] = [
    ['no JSON', delivery('{"n":'), /not JSON in UTF-8/],
    ['nothing', delivery(''), /not JSON in UTF-8/],
    ['no UTF-8', delivery({ n: 1 }, { body: Buffer.from([0x22, 0xff, 0x22]) }), /not JSON in UTF-8/],
    ['another type', delivery({ n: 1 }, { contentType: 'application/xml' }), /content type "application\/xml" is not JSON/],
    ['another shape', delivery({ n: '1' }), /payload\/n must be integer/],
    ['a field too many', delivery({ n: 1, m: 2 }), /additional properties \("m"\)/],
    ['null', delivery('null'), /payload must be object/],
    ['NUL', delivery({ n: 1, text: 'a\0' }), /NUL characters/],
    ['half a surrogate pair', delivery('{"n":1,"text":"\\ud800"}'), /unpaired surrogates/],
    ['no id', delivery({ n: 1 }, { attributes: {} }), /no id/],
    ['an id that is too long', delivery({ n: 1 }, { id: 'x'.repeat(256) }), /longer than 255/],
    ['an id with NUL', delivery({ n: 1 }, { id: 'x\0' }), /not text/],
    ['no CloudEvent', delivery({ n: 1 }, { contentType: 'application/cloudevents+json' }), /no CloudEvent 1\.0/],
    ['a batch of CloudEvents', delivery([], { contentType: 'application/cloudevents+json' }), /no CloudEvent 1\.0/]
  ]
  for (const [name, given, reason] of cases) t.match(await take(consumer, given), { kind: 'dead', reason }, name)
  t.equal(await effects(consumer), 0)
  t.equal(await noted(consumer), 0)
})

t.test('one that fails leaves nothing, is tried again later and later, and is a dead letter at last', async t => {
  const consumer = consumerOf(async () => { throw new RangeError('not today') }, { retry: { limit: 3, delayMs: 100, maxDelayMs: 300 } })
  const message = delivery({ n: 1 })
  const outcomes = []
  for (const attempt of [1, 2, 3, 4]) outcomes.push(await take(consumer, { ...message, attempt }))
  t.same(outcomes, [{ kind: 'retry', delayMs: 100 }, { kind: 'retry', delayMs: 200 }, { kind: 'retry', delayMs: 300 }, { kind: 'dead', reason: 'RangeError: not today' }])
  t.equal(await effects(consumer), 0)
  t.equal(await noted(consumer), 0)
})

t.test('its error may say that no attempt helps, or when', async t => {
  const never = consumerOf(async () => { throw Object.assign(new Error('never'), { retry: false }) })
  t.same(await take(never, delivery({ n: 1 })), { kind: 'dead', reason: 'Error: never' })
  const later = consumerOf(async () => { throw Object.assign(new Error('later'), { retryAfterMs: 5_000 }) })
  t.same(await take(later, delivery({ n: 1 })), { kind: 'retry', delayMs: 5_000 })
  const odd = consumerOf(async () => { throw Object.create(null) })
  t.match(await take(odd, delivery({ n: 1 })), { kind: 'retry' }, 'anything can be thrown')
})

t.test('what its handler needs being away is no attempt: it waits', async t => {
  let calls = 0
  const consumer = consumerOf(async () => { if (++calls < 4) throw new BrokerAwayError('away') }, { retry: { limit: 0 } })
  t.same(await take(consumer, delivery({ n: 1 })), { kind: 'done' })
  t.equal(calls, 4)
  t.equal(await effects(consumer), 1)
})

t.test('so is the database\'s', async t => {
  const proxy = await createProxy(t, await testDatabase())
  await proxy.open()
  const { app: behind, lines } = await buildLogged(t, { DATABASE_URL: proxy.url })
  const consumer = consumerOf(undefined, { retry: { limit: 0 } })
  await proxy.cut()
  const taking = take(consumer, delivery({ n: 1 }), behind)
  await until(() => lines.some(({ msg }) => /message can't be handled now/.test(msg)))
  await proxy.open()
  t.same(await taking, { kind: 'done' })
  t.equal(await effects(consumer), 1)
})

t.test('an attempt that takes too long is undone, also one that heeds no signal', async t => {
  const consumer = consumerOf(async () => await new Promise(() => {}), { timeoutSeconds: 1 })
  t.match(await take(consumer, delivery({ n: 1 })), { kind: 'retry' })
  t.equal(await effects(consumer), 0)
})

t.test('what is delivered again and again without an end is given up', async t => {
  const consumer = consumerOf(undefined, { retry: { limit: 2 } })
  t.match(await take(consumer, delivery({ n: 1 }, { attempt: 24 })), { kind: 'dead', reason: /delivered 24 times/ })
  t.match(await take(consumer, delivery({ n: 1 }, { attempt: 23 })), { kind: 'done' })
})

async function closing (t: Test, handler: MessageHandler<{ n: number }>): Promise<{ outcome: Promise<Outcome>, consumer: ReturnType<typeof consumerOf> }> {
  const service = await buildApp(t, { SHUTDOWN_GRACE_MS: 2_000 })
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
  const consumer = consumerOf(async (message, tx) => { begin(); await handler(message, tx) })
  const outcome = take(consumer, delivery({ n: 1 }), service)
  await begun
  void service.close()
  return { outcome, consumer }
}

t.test('at shutdown what is under way ends, or heeds its signal and is given back', async t => {
  const quick = await closing(t, async () => await new Promise(resolve => setTimeout(resolve, 100)))
  t.same(await quick.outcome, { kind: 'done' })
  t.equal(await effects(quick.consumer), 1)
  const slow = await closing(t, async ({ signal }) => await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))))
  t.same(await slow.outcome, { kind: 'released' })
  t.equal(await effects(slow.consumer), 0)
})

t.test('its log lines say which message, of which trace, and how it went', async t => {
  const { app, lines } = await buildLogged(t)
  const consumer = consumerOf(async ({ log }) => log.info('from the handler'))
  await take(consumer, delivery({ n: 1 }, { attributes: { id: 'x-1', source: '/s', traceparent } }), app)
  const own = lines.filter(({ messageId }) => messageId === 'x-1')
  t.match(own, [{ msg: 'from the handler', broker: 'test', consumer: consumer.name, attempt: 1, traceId: '4bf92f3577b34da6a3ce929d0e0e4736' }, { msg: 'message handled' }])
})

t.test('metrics count what became of deliveries', async t => {
  const consumer = consumerOf()
  const message = delivery({ n: 1 })
  await take(consumer, message)
  await take(consumer, { ...message, attempt: 2 })
  await take(consumer, delivery('nonsense'))
  const { body } = await app.inject('/metrics')
  for (const outcome of ['done', 'duplicate', 'dead']) t.match(body, `messages_handled_total{broker="test",consumer="${consumer.name}",outcome="${outcome}"} 1`)
  t.match(body, `messages_redelivered_total{broker="test",consumer="${consumer.name}"} 1`)
})

t.test('what is not well declared is refused by name', async t => {
  const good = { name: 'a', payload: Payload, handler: async () => {} }
  for (const [bad, reason] of [
    [{ name: 'a b' }, /"a b" is not well declared: its name/], [{ name: 'a.b' }, /its name/], [{ concurrency: 0 }, /concurrency is 0/],
    [{ timeoutSeconds: 1.5 }, /timeoutSeconds is 1.5/], [{ retry: { limit: -1 } }, /retry.limit is -1/], [{ retry: { delayMs: 10, maxDelayMs: 5 } }, /retry.maxDelayMs is 5/]
  ] as const) t.throws(() => completeConsumer({ ...good, ...bad }), reason)
})

t.test('an event as a CloudEvent has the same id each time, another than any other', async t => {
  const event = { position: 7n, type: 'thing.changed', subject: 's', ownerId: null, origin: { requestId: 'r', traceparent }, json: '{"id":"7","type":"thing.changed","at":"2026-01-01T00:00:00.000Z","n":1}' }
  const { id, ...rest } = toCloudEvent(event, '/s')
  t.same(rest, { specversion: '1.0', source: '/s', type: 'thing.changed', subject: 's', time: '2026-01-01T00:00:00.000Z', traceparent })
  t.match(id, /^00000000-0007-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.equal(toCloudEvent(event, '/s').id, id)
  t.not(toCloudEvent({ ...event, json: event.json.replace('"n":1', '"n":2') }, '/s').id, id, 'a database that went back gives positions anew')
  t.notOk('traceparent' in toCloudEvent({ ...event, origin: { traceparent: 'nonsense' } }, '/s'))
})

t.test('settings that can\'t be are refused', async t => {
  t.throws(() => loadConfig({ INBOX_RETENTION: '5s', MESSAGE_SOURCE: 'x'.repeat(300) }), /MESSAGE_SOURCE: expected at most 255[\s\S]*INBOX_RETENTION: expected 60000/)
  await t.rejects(buildApp(t, { MESSAGE_SOURCE: 'not a uri' }), /MESSAGE_SOURCE: expected a URI reference/)
})

import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { limitRetries, makeDue } from '../helpers/job-store.ts'
import { deadJobs, storedJobs } from '../helpers/jobs.ts'
import { hold, newSecret, startReceiver, type Receiver } from '../helpers/receiver.ts'
import { withReservations } from '../helpers/reservations.ts'
import { until } from '../helpers/until.ts'

const secret = newSecret()

async function record (app: FastifyInstance, n: number, subject: string = randomUUID()): Promise<void> {
  await inTransaction(app.prisma, tx => recordEvent(tx, { type: 'thing.changed', subject, data: { n } }))
}

/** A service that posts to a receiver of its own. */
async function sender (t: Test, config = {}): Promise<{ app: FastifyInstance, receiver: Receiver, queue: string }> {
  const receiver = await startReceiver(t, secret)
  const app = await buildApp(t, { ROLE: 'all', WEBHOOK_URLS: [receiver.url], WEBHOOK_SECRET: [secret], ...config }, withReservations)
  const host = new URL(receiver.url).host.replace(':', '-')
  const queue = app.jobs.names().find(name => name.startsWith('webhook-') && name.endsWith(host)) ?? ''
  await until(async () => (await app.inject('/health/ready')).statusCode === 200)
  return { app, receiver, queue }
}

/** Brings the next attempt forward: to wait for it is not a test's business. */
async function hurry (app: FastifyInstance, queue: string): Promise<void> {
  await until(async () => (await storedJobs(app, queue)).some(({ state }) => state === 'retry'))
  await makeDue(app, queue)
}
const numbers = (received: Receiver['received']) => received.map(({ event }) => event?.n)
const reasonOf = async (app: FastifyInstance, queue: string) => await until(async () => (await storedJobs(app, queue)).find(({ reason }) => reason)?.reason)

t.test('what happens is posted as it is in the log, signed', async t => {
  const { app, receiver } = await sender(t)
  const { id: productId } = await newProduct(app)
  const { token } = await registered(app)
  const send = async (path: string) => (await app.inject({ method: 'POST', url: path, headers: bearer(token), payload: { productId, quantity: 2 } })).json()
  const [made, returned] = [await send('/reservations'), await send('/reservations/returns')]
  await until(() => receiver.accepted.length === 2)
  const { position, at } = await app.prisma.event.findFirstOrThrow({ where: { subject: made.id } })
  const first = receiver.accepted.find(({ event }) => event?.type === 'reservation.made')
  t.same(first?.event, { id: String(position), type: 'reservation.made', reservationId: made.id, at: at.toISOString(), reservation: made })
  t.match(first, { headers: { 'content-type': 'application/json' } })
  t.match(receiver.accepted.find(({ event }) => event?.type === 'reservation.returned'), { event: { id: /^\d+$/, reservationId: returned.id, reservation: { left: 10 } } })
})

t.test('its jobs carry the request that caused the event', async t => {
  const { app, receiver, queue } = await sender(t)
  const { id: productId } = await newProduct(app)
  const { token } = await registered(app)
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  for (const requestId of ['the-first-request', 'the-second-request']) {
    await app.inject({ method: 'POST', url: '/reservations', headers: { ...bearer(token), 'x-request-id': requestId, traceparent }, payload: { productId, quantity: 1 } })
  }
  await until(() => receiver.accepted.length === 2)
  const origins = await storedJobs(app, queue)
  t.same(origins.map(({ requestId }) => requestId).sort(), ['the-first-request', 'the-second-request'])
  t.ok(origins.every(origin => origin.traceparent === traceparent))
})

t.test('a receiver refuses what was changed, is old, or came before', async t => {
  const { app, receiver } = await sender(t)
  await record(app, 1)
  const webhook = await until(() => receiver.accepted[0])
  const post = async (headers: Record<string, string>, body = webhook.body) => {
    const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = webhook.headers
    const own = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature, ...headers } as Record<string, string>
    return (await fetch(receiver.url, { method: 'POST', headers: own, body })).status
  }
  const signedAt = (date: Date) => ({ 'webhook-timestamp': String(Math.floor(date.getTime() / 1000)), 'webhook-signature': new Webhook(secret).sign(webhook.id, date, webhook.body) })
  t.equal(await post({}, webhook.body.replace('"n":1', '"n":2')), 401, 'another body')
  t.equal(await post({ 'webhook-id': randomUUID() }), 401, 'another id')
  t.equal(await post({ 'webhook-timestamp': String(Number(webhook.headers['webhook-timestamp']) + 1) }), 401, 'another time')
  t.equal(await post(signedAt(new Date(Date.now() - 6 * 60_000))), 401, 'signed, and six minutes old')
  t.equal(await post(signedAt(new Date())), 204, 'the same again is answered')
  t.equal(receiver.accepted.length, 1, 'and not taken again')
})

t.test('while a secret is replaced, receivers with either can verify', async t => {
  const newer = newSecret()
  const { app, receiver } = await sender(t, { WEBHOOK_SECRET: [newer, secret] })
  await record(app, 1)
  await until(() => receiver.accepted.length === 1)
  const [{ headers, body }] = receiver.accepted as [Receiver['accepted'][number]]
  t.match(headers['webhook-signature'], /^v1,\S+ v1,\S+$/)
  t.match(new Webhook(newer).verify(body, headers), { n: 1 })
})

t.test('every receiver gets every event, under an id of its own', async t => {
  const other = await startReceiver(t, secret)
  const first = await startReceiver(t, secret)
  const app = await buildApp(t, { ROLE: 'all', WEBHOOK_URLS: [first.url, other.url], WEBHOOK_SECRET: [secret] })
  await record(app, 1)
  await until(() => first.accepted.length === 1 && other.accepted.length === 1)
  t.same(first.accepted[0]?.event, other.accepted[0]?.event)
  t.not(first.accepted[0]?.id, other.accepted[0]?.id)
})

t.test('a delivery that fails is tried again under its id, signed anew', async t => {
  const failing: [name: string, reason: RegExp, answer: NonNullable<Receiver['answer']>][] = [
    ['500', /Answered 500/, (_webhook, response) => response.writeHead(500).end('x'.repeat(100_000))],
    ['a redirect, which is not followed', /Answered 301 \(redirects/, (_webhook, response) => response.writeHead(301, { location: '/elsewhere' }).end()],
    ['404', /Answered 404/, (_webhook, response) => response.writeHead(404).end()],
    ['a connection that is closed', /No connection: \S/, (_webhook, _response, request) => request.socket.destroy()],
    ['no answer', /No answer within 10 s/, (_webhook, response) => hold(response)]
  ]
  for (const [name, reason, answer] of failing) {
    await t.test(name, async t => {
      const { app, receiver, queue } = await sender(t)
      receiver.answer = answer
      await record(app, 1)
      await until(() => receiver.received.length === 1)
      t.match(await reasonOf(app, queue), reason)
      receiver.answer = undefined
      await hurry(app, queue)
      await until(async () => (await storedJobs(app, queue))[0]?.state === 'completed')
      t.equal(receiver.accepted.length, 1)
      t.equal(new Set(receiver.received.map(({ id }) => id)).size, 1)
      t.equal(receiver.received.length, 2)
    })
  }
})

t.test('the body of an answer is not waited for', async t => {
  const { app, receiver, queue } = await sender(t)
  receiver.answer = (_webhook, response) => { response.writeHead(200).write('a beginning without an end') }
  await record(app, 1)
  await until(async () => (await storedJobs(app, queue))[0]?.state === 'completed')
})

t.test('Retry-After puts the next attempt off, within bounds', async t => {
  const cases: [name: string, value: () => string, from: number, to: number][] = [
    ['seconds', () => '300', 290, 310],
    ['a date', () => new Date(Date.now() + 600_000).toUTCString(), 580, 610],
    ['at most four hours', () => '99999999', 14_000, 14_500],
    ['not sooner than the back-off', () => '1', 3, 11],
    ['nonsense', () => 'soon', 3, 11]
  ]
  for (const [name, value, from, to] of cases) {
    await t.test(name, async t => {
      const { app, receiver, queue } = await sender(t)
      receiver.answer = (_webhook, response) => response.writeHead(429, { 'retry-after': value() }).end()
      await record(app, 1)
      t.match(await reasonOf(app, queue), /Answered 429/)
      const due = await until(async () => {
        const at = (await storedJobs(app, queue)).find(({ state }) => state === 'retry')?.startAfter?.getTime() ?? 0
        const due = (at - Date.now()) / 1000
        return due > from && due < to && at
      })
      t.ok(due)
    })
  }
})

t.test('a receiver that answers 410 Gone gets nothing more, and what was for it is in the dead letter queue', async t => {
  const { app, receiver, queue } = await sender(t)
  receiver.answer = (_webhook, response) => response.writeHead(410).end()
  for (const n of [1, 2]) await record(app, n)
  const dead = await until(async () => (await deadJobs(app, queue))[1])
  const requests = receiver.received.length
  await record(app, 3)
  await until(async () => (await deadJobs(app, queue)).length === 3)
  t.equal(receiver.received.length, requests)
  t.match(dead.reason, /410/)
})

t.test('a delivery that fails holds back the later ones of its subject, and no others', async t => {
  const { app, receiver, queue } = await sender(t)
  const subject = randomUUID()
  let isFailing = true
  receiver.answer = ({ event }, response) => { if (event?.n === 1 && isFailing) response.writeHead(503).end() }
  for (const n of [1, 2, 3]) await record(app, n, subject)
  for (const n of [10, 11, 12]) await record(app, n)
  await until(() => receiver.accepted.length === 3)
  t.same(numbers(receiver.accepted).sort(), [10, 11, 12])
  await hurry(app, queue)
  await until(() => numbers(receiver.received).filter(n => n === 1).length === 2)
  t.notOk(numbers(receiver.received).some(n => n === 2 || n === 3))
  isFailing = false
  await hurry(app, queue)
  await until(() => receiver.accepted.length === 6)
  t.same(numbers(receiver.accepted).slice(3), [1, 2, 3])
})

t.test('after its last attempt it is in the dead letter queue with the reason, and the later ones go on', async t => {
  const { app, receiver, queue } = await sender(t)
  const subject = randomUUID()
  receiver.answer = ({ event }, response) => { if (event?.n === 1) response.writeHead(500).end() }
  for (const n of [1, 2]) await record(app, n, subject)
  await until(() => receiver.received.length === 1)
  await until(async () => (await storedJobs(app, queue)).some(({ state }) => state === 'retry'))
  await limitRetries(app, queue, 1)
  await hurry(app, queue)
  const dead = await until(async () => (await deadJobs(app, queue))[0])
  t.match(dead, { payload: { type: 'thing.changed', subject }, reason: 'DeliveryError: Answered 500' })
  await until(() => numbers(receiver.accepted).includes(2))
})

t.test('each subject\'s events come in order, from several processes that deliver at once', async t => {
  const { app, receiver } = await sender(t)
  await buildApp(t, { ROLE: 'worker', WEBHOOK_URLS: [receiver.url], WEBHOOK_SECRET: [secret] })
  const subjects = Array.from({ length: 10 }, () => randomUUID())
  await Promise.all(subjects.map(async (subject, index) => {
    for (let n = 0; n < 10; n++) await record(app, index * 100 + n, subject)
  }))
  await until(() => receiver.accepted.length === 100)
  for (const index of subjects.keys()) {
    const own = numbers(receiver.accepted).filter(n => n !== undefined && Math.floor(n / 100) === index)
    t.same(own, Array.from({ length: 10 }, (_, n) => index * 100 + n))
  }
})

t.test('without settings there is no consumer, and nothing is sent', async t => {
  const app = await buildApp(t, { ROLE: 'all' })
  await app.prisma.eventConsumer.deleteMany()
  const { app: another } = { app: await buildApp(t, { ROLE: 'all' }) }
  t.equal(await another.prisma.eventConsumer.count(), 0)
})

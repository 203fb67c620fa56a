import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { cleanUp } from '../../services/clean-up.ts'
import { buildApp, registered } from '../helpers/app.ts'

const app = await buildApp(t)
const { prisma } = app
const { id: userId } = await registered(app)
const at = (days: number) => new Date(Date.now() + days * 86_400_000)
const bytes = () => new Uint8Array(randomBytes(32))
const policy = { retention: 86_400_000, signal: new AbortController().signal }

const counts = async () => ({ refreshTokens: await prisma.refreshToken.count(), idempotencyRecords: await prisma.idempotencyRecord.count(), loginThrottles: await prisma.loginThrottle.count(), mails: await prisma.mail.count(), socketTickets: await prisma.socketTicket.count(), events: await prisma.event.count() })

t.test('what has expired goes, what has not stays', async (t) => {
  const before = await counts()
  for (const expiresAt of [at(-1), at(1)]) {
    await prisma.refreshToken.create({ data: { userId, familyId: randomUUID(), tokenHash: bytes(), createdAt: at(-2), expiresAt } })
    await prisma.idempotencyRecord.create({ data: { userId, operation: 'o', key: randomUUID(), fingerprint: bytes(), answer: {}, createdAt: at(-2), expiresAt } })
    await prisma.loginThrottle.create({ data: { key: bytes(), windowEndsAt: expiresAt, expiresAt } })
    await prisma.socketTicket.create({ data: { tokenHash: bytes(), userId, scopes: [], tokenExpiresAt: at(1), expiresAt } })
  }
  for (const when of [at(-2), at(0)]) await prisma.event.create({ data: { type: 'thing.changed', subject: 'x', at: when, data: {} } })
  for (const createdAt of [at(-61), at(-59)]) await prisma.mail.create({ data: { id: randomUUID(), recipient: 'a@example.com', subject: '', text: '', createdAt } })
  t.same(await cleanUp(prisma, policy), { refreshTokens: 1, idempotencyRecords: 1, socketTickets: 1, loginThrottles: 1, mails: 1, events: 1 })
  t.same(await counts(), { refreshTokens: before.refreshTokens + 1, idempotencyRecords: before.idempotencyRecords + 1, loginThrottles: before.loginThrottles + 1, mails: before.mails + 1, socketTickets: before.socketTickets + 1, events: before.events + 1 })
  t.same(Object.values(await cleanUp(prisma, policy)), [0, 0, 0, 0, 0, 0], 'again there is nothing to do')
})

t.test('many go in batches, and the signal stops it between two', async (t) => {
  await prisma.mail.createMany({ data: Array.from({ length: 2_500 }, () => ({ id: randomUUID(), recipient: 'a@example.com', subject: '', text: '', createdAt: at(-61) })) })
  await t.rejects(cleanUp(prisma, { ...policy, signal: AbortSignal.abort(new Error('shutdown')) }), /shutdown/)
  t.match(await cleanUp(prisma, policy), { mails: 2_500 })
})

t.test('so do many events, the oldest first', async (t) => {
  await prisma.event.deleteMany()
  await prisma.event.createMany({ data: Array.from({ length: 2_500 }, () => ({ type: 'thing.changed', subject: 'x', at: at(-2), data: {} })) })
  const kept = await prisma.event.create({ data: { type: 'thing.changed', subject: 'x', data: {} } })
  t.match(await cleanUp(prisma, policy), { events: 2_500 })
  const [{ position: left }, { position: horizon }] = [await prisma.event.findFirstOrThrow(), await prisma.eventHorizon.findFirstOrThrow()]
  t.equal((await prisma.event.findUniqueOrThrow({ where: { id: kept.id } })).position, left)
  t.ok(horizon < left!, 'readers who ask for what was forgotten can be told')
  t.ok(left! - horizon <= 1n)
})

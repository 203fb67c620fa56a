import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Type } from 'typebox'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { buildApp, newProduct } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { headersOf, natsServer, stored, withNats } from '../helpers/nats.ts'
import { until } from '../helpers/until.ts'

const KILLS = 3
const web = await buildApp(t)
const { prisma } = web

t.test('a server that is killed and started again under load: every event is stored once, in order; every message has its effect once', withNats, async t => {
  const server = await natsServer(t)
  const client = await server.client()
  await client.jsm.streams.add({ name: 'deliveries', subjects: ['deliveries.>'] })
  const product = await newProduct(web, { stock: 0 })
  let calls = 0
  const { lines } = await buildLogged(t, { ROLE: 'all', NATS_URL: server.url, NATS_PREFIX: 'restart' }, fastify => fastify.nats.consume({
    name: 'restart',
    stream: 'deliveries',
    subject: 'deliveries.>',
    from: 'beginning',
    ackWaitSeconds: 2,
    payload: Type.Object({ quantity: Type.Integer() }),
    handler: async ({ payload }, tx) => {
      calls++
      await tx.product.update({ where: { id: product.id }, data: { stock: { increment: payload.quantity } } })
      await sleep(5)
    }
  }))

  const working = new AbortController()
  let recorded = 0
  let sent = 0
  const recording = (async () => {
    while (!working.signal.aborted) {
      await inTransaction(prisma, tx => recordEvent(tx, { type: 'thing.changed', subject: randomUUID(), data: { n: recorded } }))
      recorded++
      await sleep(3)
    }
  })()
  // A sender of the other kind: it repeats what it has no answer for, with the same id.
  const sending = (async () => {
    while (!working.signal.aborted) {
      const headers = headersOf({ 'ce-id': `delivery-${sent}`, 'ce-source': '/test' })
      for (let isSent = false; !isSent;) isSent = await client.js.publish('deliveries.n', '{"quantity":1}', { headers, timeout: 500 }).then(() => true, () => false)
      sent++
      await sleep(3)
    }
  })()

  for (let kill = 0; kill < KILLS; kill++) {
    const before = { recorded, sent, calls }
    await until(() => recorded > before.recorded + 50 && sent > before.sent + 20 && calls > before.calls + 20)
    await server.kill()
    await sleep(200)
    await server.start()
  }
  working.abort()
  await Promise.all([recording, sending])

  const numbers = async () => (await stored(client.jsm, 'restart-events')).map(message => message.json<{ n: number }>().n)
  await until(async () => (await client.jsm.streams.info('restart-events')).state.messages >= recorded)
  t.same(await numbers(), Array.from({ length: recorded }, (_, n) => n))
  t.equal(await prisma.eventFailure.count({ where: { consumer: 'nats' } }), 0)

  await until(async () => {
    const { num_pending: waiting, num_ack_pending: unsettled } = await client.jsm.consumers.info('deliveries', 'restart-restart')
    return waiting + unsettled === 0
  })
  t.equal((await prisma.product.findUniqueOrThrow({ where: { id: product.id } })).stock, sent)
  t.ok(lines.filter(({ msg }) => msg === 'NATS is back').length >= KILLS)
  t.comment({ recorded, sent, calls })
})

t.test('a server that dies between a commit and its acknowledgement: the message comes again, and has no second effect', withNats, async t => {
  const server = await natsServer(t)
  const client = await server.client()
  await client.jsm.streams.add({ name: 'deliveries', subjects: ['deliveries.>'] })
  const product = await newProduct(web, { stock: 0 })
  const { promise: committing, resolve: commits } = Promise.withResolvers<void>()
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const { lines } = await buildLogged(t, { ROLE: 'all', NATS_URL: server.url, NATS_PREFIX: 'unacked' }, fastify => fastify.nats.consume({
    name: 'unacked',
    stream: 'deliveries',
    subject: 'deliveries.>',
    from: 'beginning',
    ackWaitSeconds: 1,
    payload: Type.Object({}),
    handler: async (_message, tx) => {
      await tx.product.update({ where: { id: product.id }, data: { stock: { increment: 1 } } })
      commits()
      await gate
    }
  }))
  await client.js.publish('deliveries.n', '{}')
  await committing
  await server.kill()
  open()
  await until(async () => (await prisma.product.findUniqueOrThrow({ where: { id: product.id } })).stock === 1)
  await server.start()
  await until(() => lines.some(({ msg, attempt }) => /handled before came again/.test(msg) && Number(attempt) > 1))
  await until(async () => (await client.jsm.consumers.info('deliveries', 'unacked-unacked')).num_ack_pending === 0)
  t.equal((await prisma.product.findUniqueOrThrow({ where: { id: product.id } })).stock, 1)
})

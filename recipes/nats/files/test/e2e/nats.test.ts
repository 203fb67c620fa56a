import { randomUUID } from 'node:crypto'
import t from 'tap'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { buildApp, newProduct, testDatabase } from '../helpers/app.ts'
import { headersOf, natsServer, stored, withNats } from '../helpers/nats.ts'
import { copyOfCheckout, startService } from '../helpers/process.ts'
import { until } from '../helpers/until.ts'

const EVENTS = 300
const MESSAGES = 200
const skip = withNats.skip !== false ? withNats.skip : process.env.TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set'

t.test('a worker that is killed in the middle: every event is published once, in order, and the stock is right to the piece', { skip }, async t => {
  const server = await natsServer(t)
  const { js, jsm } = await server.client()
  const web = await buildApp(t)
  const { prisma } = web
  const product = await newProduct(web, { stock: 0 })
  const folder = copyOfCheckout(t)
  const env = { DATABASE_URL: await testDatabase(), ROLE: 'worker', NATS_URL: server.url, LOG_LEVEL: 'info' }
  const first = await startService(t, folder, env)
  await until(async () => await jsm.consumers.info('warehouse', 'keel-restock').catch(() => undefined))

  const stock = async () => (await prisma.product.findUniqueOrThrow({ where: { id: product.id } })).stock
  const writing = (async () => {
    for (let n = 0; n < EVENTS; n++) await inTransaction(prisma, tx => recordEvent(tx, { type: 'thing.changed', subject: randomUUID(), data: { n } }))
  })()
  const sending = (async () => {
    for (let n = 0; n < MESSAGES; n++) await js.publish('warehouse.restocked', JSON.stringify({ sku: product.sku, quantity: 1 }), { headers: headersOf({ 'ce-id': `delivery-${n}`, 'ce-source': '/test' }) })
  })()
  await until(async () => await stock() > 10)
  await first.stop('SIGKILL')
  await Promise.all([writing, sending])
  t.ok(await stock() < MESSAGES, 'it was killed in the middle')

  const second = await startService(t, folder, env)
  await until(async () => await stock() >= MESSAGES && (await stored(jsm, 'keel-events')).length >= EVENTS)
  await until(async () => (({ num_pending: waiting, num_ack_pending: unsettled }) => waiting + unsettled === 0)(await jsm.consumers.info('warehouse', 'keel-restock')))
  t.equal(await stock(), MESSAGES)
  t.same((await stored(jsm, 'keel-events')).map(message => message.json<{ n: number }>().n), Array.from({ length: EVENTS }, (_, n) => n))

  const { code, output } = await second.stop()
  t.equal(code, 0)
  t.notMatch(output, /"level":50/)
})

// What is promised of order events when processes come and go.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { signUp } from '../helpers/accounts.ts'
import { call, copyOfCheckout, startService, type Service } from '../helpers/process.ts'
import { openEvents } from '../helpers/sse.ts'
import { plainDatabase, rows } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
/** As many as a run of all tests has time for; KILL_EVENTS=1000 is what was promised. */
const EVENTS = Number(process.env.KILL_EVENTS ?? 400)
const AT_ONCE = 10

/** A product with plenty in stock, and a user who can order it: through the service. */
async function customer (service: Service) {
  const { token: admin } = await signUp(service, 'admin')
  const { token } = await signUp(service)
  const body = { sku: `SKU-${randomUUID()}`, name: 'Lamp', description: '', price: { amount: 1999, currency: 'EUR' }, stock: 1_000_000 }
  const { body: { id: productId } } = await call(`${service.url}/products`, { token: admin, body })
  const order = async (at: string, token: string): Promise<string> => {
    const { status, body } = await call(`${at}/orders`, { token, body: { items: [{ productId, quantity: 1 }] } })
    if (status !== 201) throw new Error(`no order: ${status} ${body.code}`)
    return body.id
  }
  return { token, order, admin }
}

t.test('two processes on one database, one of which is killed: every change, once, in order', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async (t) => {
  const DATABASE_URL = await plainDatabase(t, server)
  const folder = copyOfCheckout(t)
  const a = await startService(t, folder, { DATABASE_URL })
  const b = await startService(t, folder, { DATABASE_URL, SHUTDOWN_GRACE_MS: '600000' })
  const { token, order, admin } = await customer(b)

  const onA = await openEvents(t, `${a.url}/orders/events`, { token })
  const writing = (async () => {
    const todo = Array.from({ length: AT_ONCE }, async () => {
      for (let n = 0; n < EVENTS / AT_ONCE / 2; n++) {
        const id = await order(b.url, token)
        await call(`${b.url}/orders/${id}/pay`, { token, method: 'POST' })
      }
    })
    await Promise.all(todo)
  })()
  await onA.until(EVENTS * 0.4)
  await a.stop('SIGKILL')
  await t.rejects(onA.ended, 'the connection is cut')
  const onB = await openEvents(t, `${b.url}/orders/events`, { token, lastEventId: onA.lastEventId() })
  await onB.until(EVENTS - onA.events.length)
  await writing

  const got = [...onA.events, ...onB.events]
  const log = await rows(DATABASE_URL, 'SELECT position::text, type, subject FROM events ORDER BY events.position')
  t.equal(log.length, EVENTS)
  t.same(got.map(({ id, event, data }) => ({ position: id, type: event, subject: JSON.parse(data).orderId })), log)

  const all = await openEvents(t, `${b.url}/orders/events?lastEventId=0`, { token: admin })
  await all.until(EVENTS)
  t.same(all.events, got, 'from the beginning it is the same')
  t.equal((await b.stop()).code, 0, 'open streams do not hold a shutdown that would wait for long')
  await all.ended
})

t.test('a restart on the embedded database', async (t) => {
  const folder = copyOfCheckout(t)
  const first = await startService(t, folder)
  const { token, order } = await customer(first)
  const client = await openEvents(t, `${first.url}/orders/events`, { token })
  const placed = [await order(first.url, token)]
  await client.until(1)
  client.close()
  placed.push(await order(first.url, token), await order(first.url, token))
  await first.stop('SIGKILL')

  const second = await startService(t, folder)
  const again = await openEvents(t, `${second.url}/orders/events`, { token, lastEventId: client.lastEventId() })
  placed.push(await order(second.url, token))
  await again.until(3)
  await sleep(100)
  t.same([...client.events, ...again.events].map(({ data }) => JSON.parse(data).orderId), placed)
  t.equal((await second.stop()).code, 0)
  await again.ended
  t.equal(again.retries.length, 2, 'it was told when to come back')
})

// GET /orders/events with orders that are placed, paid, shipped and cancelled through the API. What any stream is like is in
// test/plugins/{sse,sse-resume}.test.ts.
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import t from 'tap'
import { asAdmin, bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { openEvents } from '../helpers/sse.ts'

const ajv = new Ajv2020({ strict: false })
formats.default(ajv)
ajv.addSchema(JSON.parse(readFileSync('openapi.json', 'utf8')), 'openapi.json')
const documented = ajv.compile({ $ref: `openapi.json#/paths/${encodeURIComponent('~1orders~1events')}/get/responses/200/content/text~1event-stream/schema` })

const app = await buildApp(t)
const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/orders/events`
const admin = await asAdmin(app)
const product = await newProduct(app, { stock: 1_000_000 })

interface OrderData { id: string, type: string, orderId: string, at: string, order: { id: string, status: string } }

async function place (token: string): Promise<string> {
  return (await app.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload: { items: [{ productId: product.id, quantity: 1 }] } })).json().id
}

async function take (step: 'pay' | 'ship' | 'cancel', id: string, token: string) {
  return await app.inject({ method: 'POST', url: `/orders/${id}/${step}`, headers: bearer(token) })
}

t.test('every change of one\'s order is an event with the order as it is then', async t => {
  const { token } = await registered(app)
  const client = await openEvents(t, url, { token })
  const id = await place(token)
  await take('pay', id, token)
  const shipped = (await take('ship', id, admin.token)).json()
  const other = await place(token)
  await take('cancel', other, token)
  const events = await client.until(5)
  const data = events.map(({ data }) => JSON.parse(data) as OrderData)
  t.same(events.map(({ event }) => event), ['order.created', 'order.paid', 'order.shipped', 'order.created', 'order.cancelled'])
  t.same(data.map(({ orderId, order }) => [orderId, order.id, order.status]), [[id, id, 'pending'], [id, id, 'paid'], [id, id, 'shipped'], [other, other, 'pending'], [other, other, 'cancelled']])
  for (const [index, event] of data.entries()) {
    t.same(Object.keys(event).sort(), ['at', 'id', 'order', 'orderId', 'type'])
    t.same([event.id, event.type], [events[index]!.id, events[index]!.event])
    t.ok(documented(event), ajv.errorsText(documented.errors))
  }
  t.ok(data.every(({ id }, index) => index === 0 || BigInt(id) > BigInt(data[index - 1]!.id)))
  t.same(data[2]!.order, shipped, 'the same as the API answers')
})

t.test('a step that is refused is no event', async t => {
  const { token } = await registered(app)
  const client = await openEvents(t, url, { token })
  const id = await place(token)
  t.equal((await take('ship', id, admin.token)).statusCode, 409)
  await take('pay', id, token)
  await client.until(2)
  t.same(client.events.map(({ event }) => event), ['order.created', 'order.paid'])
})

t.test('of others one gets nothing; with orders:admin everything', async t => {
  const [one, two] = [await registered(app), await registered(app)]
  const [clientOfOne, clientOfAdmin] = [await openEvents(t, url, one), await openEvents(t, url, admin)]
  const theirs = await place(two.token)
  const own = await place(one.token)
  await Promise.all([clientOfOne.until(1), clientOfAdmin.until(2)])
  const ids = (events: { data: string }[]) => events.map(({ data }) => (JSON.parse(data) as OrderData).orderId)
  t.same(ids(clientOfOne.events), [own])
  t.same(ids(clientOfAdmin.events), [theirs, own])
})

t.test('Last-Event-ID resumes behind it, and a reset is as documented where that can\'t be', async t => {
  const { token } = await registered(app)
  const first = await openEvents(t, url, { token })
  const ids = [await place(token), await place(token)]
  await first.until(2)
  first.close()
  ids.push(await place(token))
  const again = await openEvents(t, url, { token, lastEventId: first.events[0]!.id })
  await again.until(2)
  t.same(again.events.map(({ data }) => (JSON.parse(data) as OrderData).orderId), ids.slice(1))
  const [reset] = await (await openEvents(t, url, { token, lastEventId: '999999999999' })).until(1)
  t.equal(reset!.event, 'reset')
  t.ok(documented(JSON.parse(reset!.data)), ajv.errorsText(documented.errors))
})

t.test('a ticket opens one stream, in the name of whoever got it', async t => {
  const { token } = await registered(app)
  const { ticket } = (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(token) })).json() as { ticket: string }
  t.equal((await app.inject({ method: 'HEAD', url: `/orders/events?ticket=${ticket}` })).statusCode, 401, 'nor is it spent on what opens none')
  const client = await openEvents(t, `${url}?ticket=${ticket}`, {})
  const [own] = [await place(token), await place(admin.token)]
  const [event] = await client.until(1)
  t.equal(JSON.parse(event!.data).orderId, own)
  for (const query of [`ticket=${ticket}`, 'ticket=x', `ticket=${ticket}&ticket=${ticket}`]) {
    t.equal((await app.inject(`/orders/events?${query}`)).statusCode, 401, query)
  }
})

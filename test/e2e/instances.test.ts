// Two processes of the service on one database, behind a balancer that takes them in turn.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { createBalancer } from '../helpers/balancer.ts'
import { signUp } from '../helpers/accounts.ts'
import { until } from '../helpers/until.ts'
import { call, copyOfCheckout, startService, type Service } from '../helpers/process.ts'
import { openEvents, type EventClient } from '../helpers/sse.ts'
import { plainDatabase, rows } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
const options = { skip: server === '' && 'TEST_DATABASE_URL is not set' }
/** Requests a second; what the machine can take beside the other tests. */
const RATE = Number(process.env.ROLLING_RATE ?? 40)
const STREAMS = 20

interface Pair { url: string, a: Service, b: Service, ready: () => string[], DATABASE_URL: string, productId: string, newUser: () => Promise<{ token: string }> }

async function pair (t: Test, env: Record<string, string> = {}): Promise<Pair> {
  const DATABASE_URL = await plainDatabase(t, server)
  const folder = copyOfCheckout(t)
  // What a loaded machine would refuse is another test's business.
  const all = { DATABASE_URL, RATE_LIMIT_MAX: '1000000', ...env }
  const a = await startService(t, folder, all)
  const b = await startService(t, folder, all)
  const { url, ready } = await createBalancer(t, [a.url, b.url])
  const { token: admin } = await signUp(a, 'admin')
  const body = { sku: `SKU-${randomUUID()}`, name: 'Lamp', description: '', price: { amount: 1999, currency: 'EUR' }, stock: 1_000_000 }
  const { body: { id: productId } } = await call(`${a.url}/products`, { token: admin, body })
  const newUser = async () => await signUp(a)
  return { url, a, b, ready, DATABASE_URL, productId, newUser }
}

t.test('it makes no difference which process answers', options, async t => {
  const { a, b, newUser, productId } = await pair(t)
  const { token } = await newUser()

  const order = { token, headers: { 'idempotency-key': randomUUID() }, body: { items: [{ productId, quantity: 1 }] } }
  const [placed, again] = [await call(`${a.url}/orders`, order), await call(`${b.url}/orders`, order)]
  t.equal(again.body.id, placed.body.id, 'a key is known anywhere')
  t.equal(again.headers.get('idempotency-replayed'), 'true')

  const { ticket } = (await call(`${a.url}/ws/tickets`, { token, method: 'POST' })).body
  const stream = await openEvents(t, `${b.url}/orders/events?ticket=${ticket}`, {})
  t.equal(stream.response.status, 200, 'a ticket is good anywhere')
  t.equal((await openEvents(t, `${a.url}/orders/events?ticket=${ticket}`, {})).response.status, 401, 'once')
})

t.test('one that is stopped under load fails no request and loses no event', options, async t => {
  const { url, a, ready, DATABASE_URL, productId, newUser } = await pair(t, { SHUTDOWN_DELAY_MS: '6000', SHUTDOWN_GRACE_MS: '60000' })
  const users = await Promise.all([newUser(), newUser()])
  const over = new AbortController()
  const failed: string[] = []
  const streams = users.flatMap(({ token }) => Array.from({ length: STREAMS / users.length }, () => [followStream(t, url, token), followSocket(t, url, token)]).flat())
  await Promise.all(streams.map(({ isOpen }) => isOpen))

  const working: Promise<void>[] = []
  const load = (async () => {
    for (let n = 0; !over.signal.aborted; n++) {
      working.push(work(n).catch(error => { failed.push(String(error)) }))
      await sleep(1000 / RATE)
    }
  })()
  async function work (n: number): Promise<void> {
    const { token } = users[n % users.length]!
    const { status, body } = n % 3 === 0 ? await call(`${url}/orders`, { token, body: { items: [{ productId, quantity: 1 }] } }) : await call(`${url}/${n % 3 === 1 ? 'products' : 'orders'}?limit=5`, { token })
    if (status >= 300) failed.push(`${status} ${JSON.stringify(body)}`)
    if (n % 6 === 0 && status === 201) await call(`${url}/orders/${body.id}/pay`, { token, method: 'POST' }).then(({ status }) => { if (status !== 200) failed.push(`pay: ${status}`) })
  }

  await sleep(2_000)
  const stopped = await a.stop('SIGTERM')
  await until(() => ready().length === 1)
  await sleep(1_500)
  over.abort()
  await load
  await Promise.all(working)

  t.equal(stopped.code, 0)
  t.same(failed, [])
  const log = await rows(DATABASE_URL, 'SELECT position::text, owner_id::text AS owner FROM events ORDER BY events.position') as { position: string, owner: string }[]
  t.ok(log.length > RATE)
  const owners = await Promise.all(users.map(async ({ token }) => (await call(`${url}/users/me`, { token })).body.id as string))
  for (const [index, { got }] of streams.entries()) {
    const owner = owners[Math.floor(index / STREAMS)]
    const expected = log.filter(event => event.owner === owner).map(({ position }) => position)
    await until(() => got().length >= expected.length)
    t.same(got(), expected)
  }
  for (const { stop } of streams) stop()
})

interface Follower { got: () => string[], isOpen: Promise<void>, stop: () => void }

/** A client of the event stream that comes back, as EventSource does, a little later each time. */
function followStream (t: Test, url: string, token: string): Follower {
  const clients: EventClient[] = []
  const { promise: isOpen, resolve: opened } = Promise.withResolvers<void>()
  const over = new AbortController()
  void (async () => {
    while (!over.signal.aborted) {
      const client = await openEvents(t, `${url}/orders/events`, { token, lastEventId: clients.at(-1)?.lastEventId() }).catch(() => undefined)
      if (client?.response.status !== 200) { await sleep(50); continue }
      await until(() => client.lastEventId() !== '')
      clients.push(client)
      opened()
      await client.ended.catch(() => {})
    }
  })()
  return { got: () => clients.flatMap(({ events }) => events.map(({ id }) => id)), isOpen, stop: () => over.abort() }
}

/** A client of the WebSocket that comes back. */
function followSocket (t: Test, url: string, token: string): Follower {
  const got: string[] = []
  const { promise: isOpen, resolve: opened } = Promise.withResolvers<void>()
  let isOver = false
  let socket: WebSocket | undefined
  let lastEventId: string | undefined
  const connect = () => {
    socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, 'keel.v1', { headers: { authorization: `Bearer ${token}` } })
    socket.on('open', () => socket?.send(JSON.stringify({ type: 'subscribe', topic: 'orders', lastEventId })))
    socket.on('message', data => {
      const message = JSON.parse(String(data)) as { type: string, id?: string, event?: { id: string } }
      if (message.type === 'subscribed') {
        lastEventId ??= message.id
        opened()
      } else if (message.event) {
        lastEventId = message.event.id
        got.push(lastEventId)
      }
    })
    socket.on('error', () => {})
    socket.on('close', () => { if (!isOver) setTimeout(connect, 50) })
  }
  connect()
  t.teardown(() => {
    isOver = true
    socket?.terminate()
  })
  return { got: () => got, isOpen, stop: () => { isOver = true; socket?.terminate() } }
}

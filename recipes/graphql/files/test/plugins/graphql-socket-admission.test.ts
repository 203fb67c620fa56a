// Who gets a WebSocket that speaks GraphQL, and how.
import t from 'tap'
import { WebSocket } from 'ws'
import { bearer, registered } from '../helpers/app.ts'
import { PROTOCOL, UPDATES, listening, open, path } from '../helpers/graphql-socket.ts'
import { portOf, refusal } from '../helpers/socket.ts'

const app = await listening(t, { WS_CONNECTIONS_MAX: 1000 })
const user = await registered(app)
const ticketFor = async (token = user.token) => (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(token) })).json().ticket as string

t.test('who is let in', async t => {
  const protocols = [PROTOCOL]
  t.match(await refusal(t, app, { path, protocols }), { status: 401, problem: { code: 'UNAUTHORIZED' } }, 'nobody')
  t.match(await refusal(t, app, { path, protocols, token: 'e30.e30.e30' }), { status: 401, headers: { 'www-authenticate': /invalid_token/ } })
  t.match(await refusal(t, app, { path, protocols, query: `?ticket=${'x'.repeat(43)}` }), { status: 401, problem: { code: 'INVALID_TICKET' } })
  t.match(await refusal(t, app, { path, protocols, token: user.token, headers: { origin: 'https://evil.example' } }), { status: 403, problem: { code: 'FORBIDDEN' } })
  t.match(await refusal(t, app, { path, protocols: ['graphql-ws'], token: user.token }), { status: 400 }, 'the old protocol')
  t.match(await refusal(t, app, { path, protocols: ['keel.v1'], token: user.token }), { status: 400 })
  t.match(await refusal(t, app, { path: '/ws', protocols, token: user.token }), { status: 400 }, 'nor is GraphQL spoken at /ws')
  const few = await listening(t, { WS_CONNECTIONS_MAX: 1 })
  await open(t, few, user.token)
  t.match(await refusal(t, few, { path, protocols, token: user.token }), { status: 429 })
  const allowed = await listening(t, { ALLOWED_ORIGINS: ['https://shop.example'] })
  const page = new WebSocket(`ws://127.0.0.1:${portOf(allowed)}${path}`, PROTOCOL, { headers: { ...bearer(user.token), origin: 'https://shop.example' } })
  t.teardown(() => page.terminate())
  await new Promise((resolve, reject) => page.on('open', resolve).on('error', reject))
  t.equal(page.protocol, PROTOCOL)
})

t.test('a ticket opens one connection, in the query or among the subprotocols', async t => {
  const ticket = await ticketFor()
  const client = await open(t, app, '', { query: `?ticket=${ticket}` })
  client.subscribe({ query: UPDATES })
  t.match(await refusal(t, app, { path, protocols: [PROTOCOL], query: `?ticket=${ticket}` }), { status: 401, problem: { code: 'INVALID_TICKET' } })
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}`, [PROTOCOL, `ticket.${await ticketFor()}`])
  t.teardown(() => socket.terminate())
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  t.equal(socket.protocol, PROTOCOL)
  const unspent = await ticketFor()
  t.equal((await app.inject(`/graphql?query={__typename}&ticket=${unspent}`)).statusCode, 200)
  await open(t, app, '', { query: `?ticket=${unspent}` })
})

t.test('a connection that offers no subprotocol is told that it must', async t => {
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}`, { headers: bearer(user.token) })
  t.equal(await new Promise(resolve => socket.on('close', resolve)), 4406)
})

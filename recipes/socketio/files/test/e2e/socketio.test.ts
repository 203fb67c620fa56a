// A chat of many clients in two started processes, through each adapter: everybody hears everything once and in one order.
// SOCKETIO_CLIENTS=1000 for a crowd.
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import auth from '../../plugins/auth/index.ts'
import config, { loadConfig } from '../../plugins/config/index.ts'
import errors from '../../plugins/errors/index.ts'
import { until } from '../helpers/until.ts'
import { newPrivateKey } from '../helpers/keys.ts'
import { copyOfCheckout, startService } from '../helpers/process.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { connect, type Client } from '../helpers/socketio.ts'
import { plainDatabase } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
const CLIENTS = Number(process.env.SOCKETIO_CLIENTS ?? 60)
const ROOM_SIZE = 20
const SPEAKERS = 5
const MESSAGES = 10
const AT_ONCE = 50

/** Signs tokens as the processes do. */
async function issuer (key: string) {
  const fastify = Fastify()
  const settings = loadConfig({ NODE_ENV: 'test', DATABASE_URL: 'postgresql://127.0.0.1:1/none', JWT_PRIVATE_KEY: key })
  await fastify.register(config, { config: settings }).register(errors).register(auth)
  return (id: string) => fastify.accessTokens.issue({ id, scopes: [] }).accessToken
}

const texts = (client: Client) => client.of('chat.message').map(({ text }) => text as string)

async function chat (t: Test, env: Record<string, string>) {
  const DATABASE_URL = await plainDatabase(t, server)
  const key = newPrivateKey()
  const tokenOf = await issuer(key)
  const folder = copyOfCheckout(t)
  const all = { DATABASE_URL, JWT_PRIVATE_KEY: key, RATE_LIMIT_MAX: '1000000', WS_PING_INTERVAL: '60s', ...env }
  const services = [await startService(t, folder, all), await startService(t, folder, all)]
  await until(async () => (await Promise.all(services.map(async ({ url }) => await (await fetch(`${url}/metrics`)).text()))).every(text => text.includes('socketio_adapter_up 1')))

  const rooms: Client[][] = Array.from({ length: Math.ceil(CLIENTS / ROOM_SIZE) }, () => [])
  let outside = 0
  for (let n = 0; n < CLIENTS; n += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, CLIENTS - n) }, async (_, m) => {
      const room = Math.floor((n + m) / ROOM_SIZE)
      const client = await connect(t, services[m % 2]?.url ?? '', tokenOf(randomUUID()), { reconnection: false, timeout: 60_000 })
      if ((await client.ask('chat.enter', { room: `room-${room}` })).error !== undefined) outside++
      rooms[room]?.push(client)
    }))
  }
  t.equal(outside, 0)

  const since = performance.now()
  let refused = 0
  await Promise.all(rooms.flatMap((clients, room) => clients.slice(0, SPEAKERS).map(async (client, speaker) => {
    for (let n = 0; n < MESSAGES; n++) {
      const { error } = await client.ask('chat.say', { room: `room-${room}`, text: `${speaker} ${n}` })
      if (error !== undefined) refused++
    }
  })))
  t.equal(refused, 0)
  const count = SPEAKERS * MESSAGES
  await until(() => rooms.flat().every(client => texts(client).length >= count))
  const seconds = (performance.now() - since) / 1000
  let [wrong, unordered] = [0, 0]
  for (const clients of rooms) {
    const [first] = clients
    const heard = first === undefined ? [] : texts(first)
    if (new Set(heard).size !== count || heard.length !== count) wrong++
    for (let speaker = 0; speaker < SPEAKERS; speaker++) {
      const own = heard.filter(text => text.startsWith(`${speaker} `))
      if (own.some((text, n) => text !== `${speaker} ${n}`)) unordered++
    }
    for (const client of clients) if (texts(client).join() !== heard.join()) wrong++
  }
  t.equal(wrong, 0, 'everybody in a room hears the same, once')
  t.equal(unordered, 0, 'and each speaker in the order of speech')
  t.comment(`${CLIENTS} clients in ${rooms.length} rooms: ${rooms.length * count} messages, ${CLIENTS * count} deliveries in ${seconds.toFixed(1)} s`)
  for (const client of rooms.flat()) client.socket.disconnect()
  t.same((await Promise.all(services.map(async service => await service.stop()))).map(({ code }) => code), [0, 0])
}

const onServer = { skip: server === '' && 'TEST_DATABASE_URL is not set', timeout: 600_000 }
t.test('through Redis', { ...onServer, skip: onServer.skip || withRedis.skip }, async t => {
  const { url } = await redisServer(t)
  await chat(t, { SOCKETIO_ADAPTER: 'redis', REDIS_URL: url })
})

t.test('through PostgreSQL', onServer, async t => await chat(t, { SOCKETIO_ADAPTER: 'postgres' }))

// Socket.IO in two processes, through Redis and through PostgreSQL: order, recovery, and what happens when that is away.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp, testDatabase } from '../helpers/app.ts'
import { createProxy } from '../helpers/proxy.ts'
import { until } from '../helpers/until.ts'
import { buildLogged } from '../helpers/log.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { connect, urlOf, type Client } from '../helpers/socketio.ts'

const onServer = { skip: (process.env.TEST_DATABASE_URL ?? '') === '' && 'TEST_DATABASE_URL is not set' }

const isUp = async (app: FastifyInstance) => (await app.metrics.scrape()).text.includes('socketio_adapter_up 1')
const tokenOf = (app: FastifyInstance, id: string = randomUUID()) => app.accessTokens.issue({ id, scopes: [] }).accessToken

async function two (t: Test, settings: Partial<Config>) {
  const apps: FastifyInstance[] = []
  for (let n = 0; n < 2; n++) {
    const app = await buildApp(t, { WS_MESSAGES_MAX: 10_000, ...settings })
    await app.listen({ port: 0, host: '127.0.0.1' })
    apps.push(app)
  }
  await until(async () => (await Promise.all(apps.map(isUp))).every(Boolean))
  return apps as [FastifyInstance, FastifyInstance]
}

/** Clients of a room, in turn of one process and the other. */
async function inRoom (t: Test, apps: FastifyInstance[], count: number, room = 'a'): Promise<Client[]> {
  const clients: Client[] = []
  for (let n = 0; n < count; n++) {
    const app = apps[n % apps.length]!
    const one = await connect(t, urlOf(app), tokenOf(app), { reconnectionDelay: 200, randomizationFactor: 0 })
    await one.ask('chat.enter', { room })
    clients.push(one)
  }
  return clients
}

const texts = (client: Client) => client.of('chat.message').map(({ text }) => text as string)
const say = async (client: Client, text: string) => await client.ask('chat.say', { room: 'a', text })

for (const [kind, options] of [['redis', withRedis], ['postgres', onServer]] as const) {
  t.test(`${kind}: what is said in both processes at once everybody hears once, in one order`, options, async t => {
    const settings = kind === 'redis' ? { REDIS_URL: (await redisServer(t)).url } : {}
    const apps = await two(t, { SOCKETIO_ADAPTER: kind, ...settings })
    const clients = await inRoom(t, apps, 8)
    const [stranger] = await inRoom(t, apps, 1, 'b')
    await Promise.all(clients.map(async (client, n) => await Promise.all(Array.from({ length: 25 }, async (_, m) => t.match(await say(client, `${n} ${m}`), { data: { id: String } })))))
    await Promise.all(clients.map(client => client.until('chat.message', 200)))
    const heard = texts(clients[0]!)
    t.equal(new Set(heard).size, 200)
    for (const client of clients) t.same(texts(client), heard)
    for (let n = 0; n < 8; n++) t.same(heard.filter(text => text.startsWith(`${n} `)), Array.from({ length: 25 }, (_, m) => `${n} ${m}`), 'as its sender said it')
    t.same(stranger?.of('chat.message'), [])
  })

  t.test(`${kind}: a user's room is in all processes, and the largest message goes through`, options, async t => {
    const settings = kind === 'redis' ? { REDIS_URL: (await redisServer(t)).url } : {}
    const apps = await two(t, { SOCKETIO_ADAPTER: kind, ...settings })
    const id = randomUUID()
    const clients = await Promise.all(apps.map(async app => await connect(t, urlOf(app), tokenOf(app, id))))
    await apps[0].socketio.publish(`user:${id}`, 'note', { n: 1 })
    apps[1].socketio.io.to(`user:${id}`).emit('note', { n: 2 })
    for (const client of clients) t.same(await client.until('note', 2), [{ n: 1 }, { n: 2 }])
    for (const client of clients) await client.ask('chat.enter', { room: 'a' })
    const text = '\u{1F600}"\\'.repeat(250)
    t.match(await say(clients[0]!, text), { data: { text } })
    t.match(await clients[1]!.until('chat.message'), [{ text }])
  })
}

t.test('redis: who comes back, to another process, gets what was said meanwhile, once', withRedis, async t => {
  const { url } = await redisServer(t)
  const apps = await two(t, { SOCKETIO_ADAPTER: 'redis', REDIS_URL: url })
  const [one, other] = await inRoom(t, apps, 2) as [Client, Client]
  await say(one, 'before')
  await other.until('chat.message')
  for (let round = 0; round < 5; round++) {
    const from = texts(other).length
    const talking = { isOver: false }
    const talk = (async () => {
      let said = 0
      for (; !talking.isOver || said < 20; said++) await say(one, `${round} ${said}`)
      return said
    })()
    // The client knows one address: the balancer would lead it to the other process.
    other.socket.io.engine.close()
    ;(other.socket.io as unknown as { uri: string }).uri = urlOf(apps[round % 2]!)
    await other.until('welcome', round + 2)
    talking.isOver = true
    const said = await talk
    await other.until('chat.message', from + said)
    t.equal(other.of('welcome').at(-1)?.recovered, true)
    t.same(texts(other).slice(from), Array.from({ length: said }, (_, n) => `${round} ${n}`))
  }
  t.equal(texts(other).length, texts(one).length)
})

t.test('redis: while it is away messages are refused, and then go on; clients stay', withRedis, async t => {
  const { url, stop, start } = await redisServer(t)
  const apps = await two(t, { SOCKETIO_ADAPTER: 'redis', REDIS_URL: url })
  const clients = await inRoom(t, apps, 4)
  await say(clients[0]!, 'before')
  await clients[1]!.until('chat.message')
  await stop()
  t.match(await say(clients[0]!, 'lost'), { error: { code: 'UNAVAILABLE', status: 503 } })
  t.equal((await apps[0].inject('/health/ready')).statusCode, 200)
  clients[3]!.socket.io.engine.close()
  t.match((await clients[3]!.until('welcome', 2))[1], { recovered: false }, 'who comes back meanwhile begins anew')
  t.match(await clients[3]!.ask('chat.enter', { room: 'a' }), { data: null })
  await start()
  await until(async () => (await Promise.all(apps.map(isUp))).every(Boolean))
  for (let n = 0; n < 10; n++) t.match(await say(clients[n % 4]!, `after ${n}`), { data: { id: String } })
  for (const client of clients) {
    await client.until('chat.message', 11)
    t.same(texts(client), ['before', ...Array.from({ length: 10 }, (_, n) => `after ${n}`)])
    t.equal(client.of('welcome').length, client === clients[3] ? 2 : 1)
  }
})

t.test('redis: a process that was away for a moment misses nothing', withRedis, async t => {
  const { url } = await redisServer(t)
  const apps = await two(t, { SOCKETIO_ADAPTER: 'redis', REDIS_URL: url })
  const clients = await inRoom(t, apps, 2)
  const redis = new Redis(url)
  t.teardown(() => redis.disconnect())
  for (let n = 0; n < 20; n++) {
    await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await until(async () => 'data' in await say(clients[n % 2]!, String(n)))
  }
  for (const client of clients) await until(() => texts(client).includes('19'))
  // What was refused may have been passed on all the same: its sender says it again.
  for (const client of clients) t.same([...new Set(texts(client))], Array.from({ length: 20 }, (_, n) => String(n)))
})

t.test('redis: it may be away at the start', withRedis, async t => {
  const { url, stop, start } = await redisServer(t)
  await stop()
  const app = await buildApp(t, { SOCKETIO_ADAPTER: 'redis', REDIS_URL: url })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const [one] = await inRoom(t, [app], 1)
  t.match(await say(one!, 'lost'), { error: { code: 'UNAVAILABLE' } })
  await start()
  await until(() => isUp(app))
  t.match(await say(one!, 'found'), { data: { id: String } })
  t.same((await one!.until('chat.message')).map(({ text }) => text), ['found'])
})

t.test('redis: what others have put into the stream is left alone', withRedis, async t => {
  const { url } = await redisServer(t)
  const apps = await two(t, { SOCKETIO_ADAPTER: 'redis', REDIS_URL: url })
  const [one] = await inRoom(t, apps, 1)
  const redis = new Redis(url)
  t.teardown(() => redis.disconnect())
  const [stream] = await redis.keys('keel:socketio:*')
  for (const fields of [['x', 'y'], ['nsp', '/', 'type', 'x', 'uid', 'y', 'data', '{'], ['nsp', '/', 'type', '3', 'uid', 'y', 'data', '{"packet":1}'], ['nsp', '/', 'type', '3', 'uid', 'y']]) await redis.xadd(stream!, '*', ...fields)
  t.match(await say(one!, 'all is well'), { data: { id: String } })
  t.same((await one!.until('chat.message')).map(({ text }) => text), ['all is well'])
})

t.test('redis: a key that is no stream is said once, and a stop does not wait for it', withRedis, async t => {
  const { url } = await redisServer(t)
  const redis = new Redis(url)
  t.teardown(() => redis.disconnect())
  const { pathname } = new URL(await testDatabase())
  await redis.set(`keel:socketio:${pathname.slice(1)}:public`, 'x')
  const { app, lines } = await buildLogged(t, { SOCKETIO_ADAPTER: 'redis', REDIS_URL: url })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const [one] = await inRoom(t, [app], 1)
  t.match(await say(one!, 'lost'), { error: { code: 'UNAVAILABLE' } })
  await until(() => lines.some(({ msg }) => /can't be read from Redis/.test(msg)))
  t.equal(await isUp(app), false)
  await app.close()
})

t.test('postgres: when its connection is lost clients are told that they may have missed something, and it goes on', onServer, async t => {
  const apps = await two(t, { SOCKETIO_ADAPTER: 'postgres' })
  const clients = await inRoom(t, apps, 4)
  await say(clients[0]!, 'before')
  await clients[1]!.until('chat.message')
  await apps[0].prisma.$queryRaw`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keel socketio'`
  for (const client of clients) await client.until('gap')
  await until(async () => 'data' in await say(clients[0]!, 'after'))
  for (const client of clients) {
    await until(() => texts(client).includes('after'))
    t.same([...new Set(texts(client))], ['before', 'after'])
    t.equal(client.of('welcome').length, 1)
  }
})

t.test('postgres: a connection that dies without a word is found out, and clients are told', onServer, async t => {
  const proxy = await createProxy(t, await testDatabase())
  await proxy.open()
  const app = await buildApp(t, { SOCKETIO_ADAPTER: 'postgres', DATABASE_URL: proxy.url })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await until(() => isUp(app))
  const [client] = await inRoom(t, [app], 1)
  // For longer than it is not asked.
  await sleep(11_000)
  t.same(client!.of('gap'), [])
  proxy.silence()
  await client!.until('gap')
  await until(async () => 'data' in await say(client!, 'again'))
  await until(() => texts(client!).length > 0)
  t.ok(texts(client!).every(text => text === 'again'))
})

t.test('postgres: a message that does not fit into a notification is refused', onServer, async t => {
  const [app] = await two(t, { SOCKETIO_ADAPTER: 'postgres' })
  await t.rejects(app.socketio.publish('x', 'note', { text: 'x'.repeat(8_000) }), { message: /can't be passed on/ })
})

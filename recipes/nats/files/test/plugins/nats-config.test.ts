import t from 'tap'
import { loadConfig } from '../../plugins/config/index.ts'
import { buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { withNats } from '../helpers/nats.ts'
import { numbersIn, Payload } from '../helpers/numbered.ts'

const web = await buildApp(t)
const { prisma } = web
const { fromHere } = numbersIn(web, 'nats')

t.test('without NATS_URL nothing happens, and the log says so', async t => {
  await fromHere()
  const { app, lines } = await buildLogged(t, { ROLE: 'all' })
  t.match(lines.find(({ msg }) => /NATS_URL is not set/.test(msg)), { consumers: ['restock'] })
  t.equal(await prisma.eventConsumer.count({ where: { name: 'nats' } }), 0)
  t.notMatch((await app.inject('/metrics')).body, 'broker_connected{broker="nats"}')
})

t.test('a web process takes the place in the log, and does not connect', withNats, async t => {
  await fromHere()
  const { app } = await buildLogged(t, { ROLE: 'web', NATS_URL: 'nats://127.0.0.1:1' })
  t.equal(await prisma.eventConsumer.count({ where: { name: 'nats' } }), 1)
  t.notMatch((await app.inject('/metrics')).body, 'broker_connected{broker="nats"}')
})

t.test('settings that can\'t be are refused', async t => {
  for (const url of ['http://127.0.0.1', 'nats', '127.0.0.1:4222']) t.throws(() => loadConfig({ NATS_URL: url }), /NATS_URL: expected a URL that starts with nats:\/\/ or tls:\/\//, url)
  await t.rejects(buildApp(t, { NATS_PREFIX: 'a.b' }), /NATS_PREFIX: expected letters/)
  await t.rejects(buildApp(t, { ROLE: 'all', NATS_URL: 'nats:///x' }), /NATS_URL: expected a URL with a host/)
})

t.test('a consumer that is declared badly, twice or too late stops the start', async t => {
  const good = { name: 'a', stream: 's', subject: 's.a', payload: Payload, handler: async () => {} }
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => fastify.nats.consume({ ...good, name: 'a b' }))), /not well declared/)
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => { fastify.nats.consume(good); fastify.nats.consume(good) })), /declared twice/)
  const app = await buildApp(t)
  t.throws(() => app.nats.consume(good), /too late/)
})

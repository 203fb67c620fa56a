import t from 'tap'
import { loadConfig } from '../../plugins/config/index.ts'
import { buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { numbersIn, Payload } from '../helpers/numbered.ts'

const web = await buildApp(t)
const { prisma } = web
const { fromHere } = numbersIn(web, 'rabbitmq')

t.test('without RABBITMQ_URL nothing happens, and the log says so', async t => {
  await fromHere()
  const { app, lines } = await buildLogged(t, { ROLE: 'all' })
  t.match(lines.find(({ msg }) => /RABBITMQ_URL is not set/.test(msg)), { consumers: ['restock'] })
  t.equal(await prisma.eventConsumer.count({ where: { name: 'rabbitmq' } }), 0)
  t.notMatch((await app.inject('/metrics')).body, 'broker_connected{broker="rabbitmq"}')
})

t.test('a web process takes the place in the log, and does not connect', async t => {
  await fromHere()
  const { app } = await buildLogged(t, { ROLE: 'web', RABBITMQ_URL: 'amqp://127.0.0.1:1' })
  t.equal(await prisma.eventConsumer.count({ where: { name: 'rabbitmq' } }), 1)
  t.notMatch((await app.inject('/metrics')).body, 'broker_connected{broker="rabbitmq"}')
})

t.test('settings that can\'t be are refused', async t => {
  for (const url of ['http://127.0.0.1', 'rabbit', '127.0.0.1:5672']) t.throws(() => loadConfig({ RABBITMQ_URL: url }), /RABBITMQ_URL: expected a URL that starts with amqp:\/\/ or amqps:\/\//, url)
  t.throws(() => loadConfig({ RABBITMQ_UNROUTABLE: 'lose' }), /RABBITMQ_UNROUTABLE: expected one of drop, hold/)
  await t.rejects(buildApp(t, { RABBITMQ_PREFIX: 'a.b' }), /RABBITMQ_PREFIX: expected letters/)
  await t.rejects(buildApp(t, { ROLE: 'all', RABBITMQ_URL: 'amqp:///x' }), /RABBITMQ_URL: expected a URL with a host/)
})

t.test('a consumer that is declared badly, twice or too late stops the start', async t => {
  const good = { name: 'a', payload: Payload, handler: async () => {} }
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => fastify.rabbitmq.consume({ ...good, name: 'a b' }))), /not well declared/)
  await t.rejects(buildApp(t, {}, app => app.register(async fastify => { fastify.rabbitmq.consume(good); fastify.rabbitmq.consume(good) })), /declared twice/)
  t.throws(() => web.rabbitmq.consume(good), /too late/)
})

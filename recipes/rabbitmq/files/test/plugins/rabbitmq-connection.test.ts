import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildLogged } from '../helpers/log.ts'
import { createProxy } from '../helpers/proxy.ts'
import { rabbitClient, rabbitUrl, withRabbit } from '../helpers/rabbitmq.ts'
import { count, listen, newPrefix, numberOf, rabbitServices } from '../helpers/rabbitmq-services.ts'
import { until } from '../helpers/until.ts'

const { prisma, record, fromHere, service, consuming } = await rabbitServices(t)

t.test('a service starts while the server is away, is ready, and publishes when it is there: in order, nothing set aside', withRabbit, async t => {
  const proxy = await createProxy(t, rabbitUrl)
  const prefix = newPrefix()
  const client = await rabbitClient(t)
  const queue = await listen(client, prefix)
  const { app, lines } = await service(t, { prefix, RABBITMQ_URL: proxy.url })
  for (const n of count(30)) await record(n)
  await until(() => lines.some(({ msg }) => /RabbitMQ is away/.test(msg)) && lines.some(({ msg }) => /events can't be handled now/.test(msg)))
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  t.match((await app.inject('/metrics')).body, 'broker_connected{broker="rabbitmq"} 0')
  await proxy.open()
  await until(async () => await client.count(queue) === 30)
  t.same((await client.drain(queue)).map(numberOf), count(30))
  t.equal(await prisma.eventFailure.count({ where: { consumer: 'rabbitmq' } }), 0)
  const { body } = await app.inject('/metrics')
  t.match(body, 'broker_connected{broker="rabbitmq"} 1')
  await until(async () => /messages_published_total\{broker="rabbitmq"\} 30/.test((await app.inject('/metrics')).body))
})

t.test('a service whose server never came ends all the same', async t => {
  await fromHere()
  const { app } = await buildLogged(t, { ROLE: 'all', RABBITMQ_URL: 'amqp://127.0.0.1:1' })
  await record(1)
  await app.close()
})

t.test('connections that are cut under load: every event arrives, in order, and every message has its effect once', withRabbit, async t => {
  const proxy = await createProxy(t, rabbitUrl)
  await proxy.open()
  const prefix = newPrefix()
  const listener = await rabbitClient(t)
  const queue = await listen(listener, prefix)
  let calls = 0
  const { send, effects, lines } = await consuming(t, async () => { calls++; await sleep(3) }, {}, { prefix, RABBITMQ_URL: proxy.url })
  const working = new AbortController()
  let recorded = 0
  let sent = 0
  const recording = (async () => { while (!working.signal.aborted) { await record(recorded); recorded++; await sleep(2) } })()
  const sending = (async () => { while (!working.signal.aborted) { await send({ n: sent }); sent++; await sleep(2) } })()
  for (let cut = 0; cut < 4; cut++) {
    const before = { recorded, sent, calls }
    await until(() => recorded > before.recorded + 30 && sent > before.sent + 30 && calls > before.calls + 30)
    await proxy.cut()
    await sleep(100)
    await proxy.open()
  }
  working.abort()
  await Promise.all([recording, sending])
  await until(async () => (await effects()).length >= sent)
  t.same(await effects(), count(sent))
  const arrived: number[] = []
  await until(async () => { arrived.push(...(await listener.drain(queue)).map(numberOf)); return arrived.includes(recorded - 1) })
  t.same([...new Set(arrived)], count(recorded), 'each for the first time in the order of the log')
  t.equal(await prisma.eventFailure.count({ where: { consumer: 'rabbitmq' } }), 0)
  t.ok(lines.some(({ msg }) => msg === 'RabbitMQ is back'))
  t.comment({ recorded, arrived: arrived.length, sent, calls })
})

t.test('a connection on which nothing passes any more is given up', withRabbit, async t => {
  const proxy = await createProxy(t, `${rabbitUrl}?heartbeat=1`)
  await proxy.open()
  const { send, effects, lines } = await consuming(t, undefined, {}, { RABBITMQ_URL: proxy.url })
  await send({ n: 1 })
  await until(async () => (await effects()).length === 1)
  proxy.silence()
  await send({ n: 2 })
  await until(async () => (await effects()).length === 2)
  t.ok(lines.some(({ msg }) => /RabbitMQ is away/.test(msg)))
})

t.test('a server that refuses the credentials is one that is away, and nobody reads them in the log', withRabbit, async t => {
  const url = new URL(rabbitUrl)
  url.password = 'a-secret'
  const { lines } = await service(t, { RABBITMQ_URL: url.href })
  await until(() => lines.some(({ msg }) => /RabbitMQ is away/.test(msg)))
  t.notMatch(JSON.stringify(lines), /a-secret/)
})

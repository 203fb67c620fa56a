import t from 'tap'
import { natsServer, stored, withNats, type NatsServer } from '../helpers/nats.ts'
import { natsServices } from '../helpers/nats-services.ts'
import { until } from '../helpers/until.ts'

const { prisma, record, service } = await natsServices(t)

t.test('a service starts while the server is away, is ready, and publishes when it is there: in order, nothing set aside', withNats, async t => {
  const own = await natsServer(t, { isStarted: false })
  const { app, lines, prefix } = await service(t, own)
  for (let n = 0; n < 30; n++) await record(n)
  await until(() => lines.some(({ msg }) => /NATS is away/.test(msg)) && lines.some(({ msg }) => /events can't be handled now/.test(msg)))
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  t.match((await app.inject('/metrics')).body, 'broker_connected{broker="nats"} 0')
  await own.start()
  const { jsm } = await own.client()
  await until(async () => (await stored(jsm, `${prefix}-events`)).length === 30)
  t.same((await stored(jsm, `${prefix}-events`)).map(message => message.json<{ n: number }>().n), Array.from({ length: 30 }, (_, n) => n))
  t.equal(await prisma.eventFailure.count({ where: { consumer: 'nats' } }), 0)
  t.match((await app.inject('/metrics')).body, /broker_connected\{broker="nats"\} 1[\s\S]*|messages_published_total\{broker="nats"\} 30/)
})

t.test('a service whose server never came ends all the same', withNats, async t => {
  const { app } = await service(t, { url: 'nats://127.0.0.1:1' } as NatsServer)
  await record(1)
  await app.close()
})

t.test('a server that refuses the credentials is one that is away; with the right ones it works', withNats, async t => {
  const own = await natsServer(t, { config: 'authorization { users: [{ user: "keel", password: "p@ss word" }] }', url: port => `nats://keel:p%40ss%20word@127.0.0.1:${port}` })
  const wrong = own.url.replace('p%40ss', 'secret')
  const { app, lines } = await service(t, { ...own, url: wrong })
  await until(() => lines.some(({ msg }) => /NATS is away/.test(msg)))
  t.notMatch(JSON.stringify(lines), /secret|p@ss/)
  await app.close()
  const right = await service(t, own)
  await record(1)
  await until(async () => /messages_published_total\{broker="nats"\} 1/.test((await right.app.inject('/metrics')).body))
})

t.test('so with a token', withNats, async t => {
  const own = await natsServer(t, { config: 'authorization { token: "t0ken" }', url: port => `nats://t0ken@127.0.0.1:${port}` })
  const { app } = await service(t, own)
  await record(1)
  await until(async () => /messages_published_total\{broker="nats"\} 1/.test((await app.inject('/metrics')).body))
})

import Fastify from 'fastify'
import t from 'tap'
import { connectRedis } from '../../server/redis.ts'
import { createProxy } from '../helpers/proxy.ts'
import { redisServer, withRedis } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'

t.test('a connection that dies without a word is found out, whether it asks, listens or does nothing, and another takes its place', withRedis, async t => {
  const { url } = await redisServer(t)
  const proxy = await createProxy(t, url)
  await proxy.open()
  const ready = new Set<object>()
  const connection = () => {
    const redis = connectRedis(proxy.url, Fastify().log, 'Redis is away', { maxRetriesPerRequest: 0, commandTimeout: 500 })
    t.teardown(() => redis.disconnect())
    return redis.on('ready', () => ready.add(redis))
  }
  const [asking, listening, idle] = [connection(), connection(), connection()]
  await listening.subscribe('news')
  const heard: string[] = []
  listening.on('message', (_channel, message) => heard.push(message))
  await Promise.all([asking.ping(), idle.ping()])
  ready.clear()

  proxy.silence()
  await t.rejects(asking.ping(), /timed out/)
  await until(() => ready.size === 3)

  t.equal(await asking.ping(), 'PONG')
  await asking.publish('news', 'again')
  await until(() => heard.length === 1)
})

// Services that publish to RabbitMQ, and consume from it.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp } from './app.ts'
import { buildLogged } from './log.ts'
import { numbersIn, Payload, type Handler } from './numbered.ts'
import { rabbitClient, rabbitUrl, type RabbitClient } from './rabbitmq.ts'
import { until } from './until.ts'

const SAMPLE_DELAYS = [1_000, 2_000, 4_000, 8_000, 16_000]

/** The server is shared: names of this run alone. */
export const newPrefix = () => `test-${randomUUID().slice(0, 8)}`
export const numberOf = ({ content }: { content: Buffer }) => (JSON.parse(String(content)) as { n: number }).n
export const count = (to: number) => Array.from({ length: to }, (_, n) => n)

/** A queue that gets all events of a service. */
export async function listen ({ channel }: RabbitClient, prefix: string, key = '#'): Promise<string> {
  await channel.assertExchange(`${prefix}.events`, 'topic', { durable: true })
  const { queue } = await channel.assertQueue('', { exclusive: true })
  await channel.bindQueue(queue, `${prefix}.events`, key)
  return queue
}

/** What the tests of a file have: its database, and services on it and on the server. */
export async function rabbitServices (t: Test) {
  const web = await buildApp(t)
  const { record, fromHere, leaving, left } = numbersIn(web, 'rabbitmq')

  /** A service with names of its own on the server, which go with the test; and a client. */
  async function service (t: Test, { prefix = newPrefix(), ...config }: Partial<Config> & { prefix?: string } = {}, extend?: (fastify: FastifyInstance) => void) {
    const client = await rabbitClient(t)
    await fromHere()
    const { app, lines } = await buildLogged(t, { ROLE: 'all', RABBITMQ_URL: rabbitUrl, RABBITMQ_PREFIX: prefix, ...config }, extend)
    t.teardown(async () => {
      await app.close()
      const cleaner = await rabbitClient(t)
      const delays = [...SAMPLE_DELAYS, 20, 40]
      for (const name of ['restock', 'numbers', 'others']) {
        for (const queue of [name, `${name}.dead`, ...delays.map(delay => `${name}.retry.${delay}`)]) await cleaner.channel.deleteQueue(`${prefix}.${queue}`)
      }
      for (const exchange of [`${prefix}.events`, prefix]) await cleaner.channel.deleteExchange(exchange)
    })
    return { app, lines, prefix, client }
  }

  /** A service that consumes numbers, and a client that sends them. */
  async function consuming (t: Test, handler: Handler = async () => {}, options: object = {}, config: Partial<Config> & { prefix?: string } = {}) {
    const prefix = config.prefix ?? newPrefix()
    const built = await service(t, { prefix, ...config }, fastify => fastify.rabbitmq.consume({
      name: 'numbers',
      exchange: prefix,
      keys: ['n.*'],
      create: 'topic',
      payload: Payload,
      retry: { limit: 2, delayMs: 20 },
      ...options,
      handler: leaving(prefix, handler)
    }))
    const { client } = built
    await until(async () => await client.count(`${prefix}.numbers`) !== undefined)
    await client.channel.assertExchange(prefix, 'topic', { durable: true })
    await client.channel.bindQueue(`${prefix}.numbers`, prefix, 'n.*')
    const send = async (payload: unknown, id: string | undefined = randomUUID(), { headers, ...more }: { headers?: object, [name: string]: unknown } = {}) => await client.send(prefix, 'n.one', payload, { headers: { 'cloudEvents:id': id, 'cloudEvents:source': `/${prefix}`, ...headers }, ...more })
    const effects = async () => await left(prefix)
    const outcomes = async (outcome: string) => Number(new RegExp(`messages_handled_total\\{broker="rabbitmq",consumer="numbers",outcome="${outcome}"\\} (\\d+)`).exec((await built.app.inject('/metrics')).body)?.[1])
    return { ...built, prefix, send, effects, outcomes, dead: `${prefix}.numbers.dead` }
  }

  return { prisma: web.prisma, record, fromHere, service, consuming }
}

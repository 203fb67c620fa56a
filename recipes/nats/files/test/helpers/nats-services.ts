// Services that publish to NATS, and consume from it.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp } from './app.ts'
import { buildLogged } from './log.ts'
import { headersOf, natsServer, stored, withNats, type NatsServer } from './nats.ts'
import { numbersIn, Payload, type Handler } from './numbered.ts'

let prefixes = 0
/** Names of its own on a server. */
export const newPrefix = () => `test-${++prefixes}`

/** What the tests of a file have: its database, a server where one is installed, and services on both. */
export async function natsServices (t: Test) {
  const web = await buildApp(t)
  const { record, fromHere, leaving, left } = numbersIn(web, 'nats')
  const server: NatsServer | undefined = withNats.skip === false ? await natsServer(t) : undefined

  /** A service on a server, with names of its own there. */
  async function service (t: Test, on = server!, config: Partial<Config> = {}, extend?: (fastify: FastifyInstance) => void) {
    await fromHere()
    const prefix = config.NATS_PREFIX ?? newPrefix()
    const { app, lines } = await buildLogged(t, { ROLE: 'all', NATS_URL: on.url, NATS_PREFIX: prefix, ...config }, extend)
    return { app, lines, prefix }
  }

  /** A service that consumes numbers, and a client that publishes them. */
  async function consuming (t: Test, handler: Handler = async () => {}, options: object = {}, config: Partial<Config> = {}) {
    const client = await server!.client()
    const stream = `numbers-${newPrefix()}`
    await client.jsm.streams.add({ name: stream, subjects: [`${stream}.>`] })
    const built = await service(t, server, config, fastify => fastify.nats.consume({
      name: stream,
      stream,
      subject: `${stream}.*`,
      payload: Payload,
      from: 'beginning',
      retry: { limit: 2, delayMs: 20 },
      ...options,
      handler: leaving(stream, handler)
    }))
    const send = async (payload: unknown, given: Record<string, string> = {}) => await client.js.publish(`${stream}.n`, typeof payload === 'string' ? payload : JSON.stringify(payload), { headers: headersOf({ 'ce-id': randomUUID(), 'ce-source': '/test', ...given }) })
    const effects = async () => await left(stream)
    const dead = async () => await stored(client.jsm, `${built.prefix}-dead`)
    const pending = async () => (({ num_ack_pending: unsettled, num_pending: waiting }) => unsettled + waiting)(await client.jsm.consumers.info(stream, `${built.prefix}-${stream}`))
    return { ...built, client, stream, send, effects, dead, pending }
  }

  return { prisma: web.prisma, server, record, service, consuming }
}

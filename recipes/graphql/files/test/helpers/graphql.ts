import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify'
import type { Test } from 'tap'
import service from '../../app.ts'
import type { Config } from '../../plugins/config/index.ts'
import { serverOptions } from '../../server.ts'
import { inTransaction } from '../../services/database.ts'
import { recordEvent } from '../../services/events.ts'
import { bearer, testConfig } from './app.ts'

export interface Extensions { code: string, status: number, type: string, requestId: string, errors?: { pointer: string, detail: string }[], retryAfter?: number }
export interface Answer<Data> { data: Data, errors: { message: string, path?: (string | number)[], locations?: object[], extensions: Extensions }[] }

/** What GraphQL answers errors with is none of openapi.json: the service without the checks of `buildApp`. */
export async function buildGraphql (t: Test, overrides: Partial<Config> = {}, extend?: (fastify: FastifyInstance) => void): Promise<FastifyInstance> {
  const config = await testConfig(overrides)
  const fastify = Fastify(serverOptions(config)) as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  await fastify.register(service, { config })
  extend?.(fastify)
  await fastify.ready()
  return fastify
}

export interface AskOptions { token?: string | undefined, variables?: object, headers?: Record<string, string>, body?: object }

/** Posts an operation. */
export async function post (app: FastifyInstance, query: string | undefined, { token, variables, headers, body }: AskOptions = {}) {
  const request: InjectOptions = {
    method: 'POST',
    url: '/graphql',
    headers: { accept: 'application/graphql-response+json', ...headers, ...token === undefined ? {} : bearer(token) },
    payload: { ...query === undefined ? {} : { query }, ...variables === undefined ? {} : { variables }, ...body }
  }
  return await app.inject(request)
}

/** Posts an operation and gives what GraphQL answers. */
export async function ask<Data = Record<string, unknown>> (app: FastifyInstance, query: string | undefined, options: AskOptions = {}): Promise<Answer<Data>> {
  return (await post(app, query, options)).json()
}

/** The SQL statements that are run meanwhile. */
export async function statementsOf (app: FastifyInstance, run: () => Promise<unknown>): Promise<string[]> {
  const statements: string[] = []
  let isCounting = true
  app.prisma.$on('query' as never, ((event: { query: string }) => { if (isCounting) statements.push(event.query) }) as never)
  await run()
  isCounting = false
  return statements
}

/** Events of one user, some in each transaction; each item makes them 350 bytes longer. */
export async function recordEvents (app: FastifyInstance, ownerId: string, count: number, items = 1): Promise<void> {
  const id = randomUUID()
  const price = { amount: 1999, currency: 'EUR' }
  const item = { productId: randomUUID(), sku: 'LAMP-1', name: 'x'.repeat(200), quantity: 1, unitPrice: price }
  const order = { id, status: 'paid', items: Array.from({ length: items }, () => item), total: price, createdAt: new Date(), updatedAt: new Date() }
  for (let n = 0; n < count; n += 50) {
    await inTransaction(app.prisma, async tx => {
      for (let i = n; i < Math.min(n + 50, count); i++) await recordEvent(tx, { type: 'order.paid', subject: id, ownerId, data: { orderId: id, order } })
    })
  }
}

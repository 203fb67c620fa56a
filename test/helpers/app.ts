import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import app from '../../app.ts'
import { loadConfig, type Config } from '../../plugins/config/index.ts'
import type { Role } from '../../prisma/generated/client.ts'
import { serverOptions } from '../../server.ts'
import { scopesOf } from '../../services/scopes.ts'
import { checkResponses } from './contract.ts'
import { newPrivateKey } from './keys.ts'
import { cloneTemplate, type TestDatabase } from './template.ts'

const privateKey = newPrivateKey()
let database: Promise<TestDatabase> | undefined

/** The database of this test file: a clone of the migrated template. */
export async function testDatabase (): Promise<string> {
  if (!database) {
    const cloned = cloneTemplate()
    database = cloned
    t.teardown(async () => { await (await cloned).close() })
  }
  return (await database).url
}

/** Says that the service of this test file has no database to ask, which saves the seconds of making one. */
export function withoutDatabase (): void {
  database = Promise.resolve({ url: 'postgresql://127.0.0.1:1/none', close: async () => {} })
}

/** The settings of a test: silent, unlimited and on the test file's own database. */
export async function testConfig (overrides: Partial<Config> = {}): Promise<Config> {
  const config = loadConfig({
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    // Jobs are sent and stay where they are; a test of what they do sets `all`.
    ROLE: 'web',
    DATABASE_URL: overrides.DATABASE_URL ?? await testDatabase(),
    JWT_PRIVATE_KEY: privateKey,
    // Tests ask for more at once than the service would take.
    OVERLOAD_LOOP_DELAY_MS: '0',
    OVERLOAD_POOL_WAIT_MS: '0',
    RATE_LIMIT_MAX: '1000000',
    AUTH_RATE_LIMIT_MAX: '1000000'
  })
  return { ...config, ...overrides }
}

/**
 * The service, ready, on the test file's own database. Every response is held against
 * the OpenAPI document; what does not fit fails the test at its end.
 */
export async function buildApp (t: Test, overrides: Partial<Config> = {}, extend?: (fastify: FastifyInstance) => void): Promise<FastifyInstance> {
  const config = await testConfig(overrides)
  const fastify = Fastify(serverOptions(config)) as unknown as FastifyInstance
  const violations: string[] = []
  checkResponses(fastify, violation => violations.push(violation))
  await fastify.register(app, { config })
  extend?.(fastify)
  await fastify.ready()
  t.teardown(async () => {
    await fastify.close()
    if (violations.length > 0) throw new Error(`not as the OpenAPI document says:\n${violations.join('\n')}`)
  })
  return fastify
}

/** Injects a request whose answer may be an endless stream: that is left when its head is there. */
export async function injectStream (fastify: FastifyInstance, options: InjectOptions): Promise<{ statusCode: number, headers: Record<string, unknown>, body: string }> {
  const response = await fastify.inject({ ...options, payloadAsStream: true })
  const { statusCode, headers } = response
  if (headers['content-type'] === 'text/event-stream' && options.method !== 'HEAD') {
    response.raw.res.destroy()
    return { statusCode, headers, body: '' }
  }
  return { statusCode, headers, body: (await response.stream().toArray()).join('') }
}

/** The header that carries an access token. */
export function bearer (token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` }
}

/** Somebody who has an account and an access token. */
interface Account { id: string, email: string, token: string }

/** A new user, signed in. Without a password: for one, see passwords.ts. */
export async function registered (fastify: FastifyInstance): Promise<Account> {
  return await newAccount(fastify, 'user')
}

/** A new admin, signed in. */
export async function asAdmin (fastify: FastifyInstance): Promise<Account> {
  return await newAccount(fastify, 'admin')
}

/** Not over HTTP: how people sign in is a few tests' business, and hashes of passwords take their time. */
async function newAccount (fastify: FastifyInstance, role: Role): Promise<Account> {
  const email = `${randomUUID()}@example.com`
  const { id } = await fastify.prisma.user.create({ data: { email, name: 'Test', role }, select: { id: true } })
  return { id, email, token: fastify.accessTokens.issue({ id, scopes: scopesOf(role) }).accessToken }
}

const merchants = new WeakMap<FastifyInstance, ReturnType<typeof asAdmin>>()

/** A new product, made through the API, by an admin who makes all of an app's. */
export async function newProduct (fastify: FastifyInstance, overrides: object = {}): Promise<{ id: string, sku: string, etag: string, [field: string]: unknown }> {
  const merchant = merchants.get(fastify) ?? asAdmin(fastify)
  merchants.set(fastify, merchant)
  const { token } = await merchant
  const payload = { sku: `SKU-${randomUUID().slice(0, 8)}`, name: 'Lamp', description: 'A lamp', price: { amount: 1999, currency: 'EUR' }, stock: 10, ...overrides }
  const response = await fastify.inject({ method: 'POST', url: '/products', headers: bearer(token), payload })
  return { ...response.json(), etag: response.headers.etag as string }
}

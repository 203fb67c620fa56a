import { channel } from 'node:diagnostics_channel'
import { PrismaPg } from '@prisma/adapter-pg'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import pg from 'pg'
import { PrismaClient } from '../prisma/generated/client.ts'
import type { EmbeddedDatabase } from '../prisma/engine/embedded.ts'
import { connectionProblem, migrationStatus } from '../prisma/migrate.ts'
import type { Config } from './config/index.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The database, through Prisma. */
    prisma: PrismaClient
    /** Where it is, for what needs connections of its own; holds the password. */
    databaseUrl: string
    /** Prisma's connections: how many there are, are idle, and are waited for. */
    databasePool: Pick<pg.Pool, 'totalCount' | 'idleCount' | 'waitingCount' | 'on' | 'off'>
  }
}

/** Also how long a query waits for a free connection: as long as a transaction waits to begin. */
const CONNECT_TIMEOUT_MS = 15_000
const IDLE_TIMEOUT_MS = 30_000

/** Is told `{ durationMs }` of each query. */
const queries = channel('keel:query')

/** Prisma on DATABASE_URL, or on the embedded PostgreSQL of DATA_DIR. */
async function database (fastify: FastifyInstance) {
  const { config, log } = fastify
  const embedded = config.DATABASE_URL === undefined ? await openEmbedded(config.DATA_DIR) : undefined
  const url = embedded?.url ?? config.DATABASE_URL ?? ''
  const schema = new URL(url).searchParams.get('schema') ?? undefined
  const pool = new pg.Pool({ ...connectionOf(url, embedded ? {} : limitsOf(config)), max: config.DATABASE_POOL_MAX, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, idleTimeoutMillis: IDLE_TIMEOUT_MS })
  const adapter = new PrismaPg(pool, { schema, disposeExternalPool: true, onPoolError: error => log.warn({ err: error }, 'an idle database connection failed') })
  const slow = config.DATABASE_SLOW_MS
  const prisma = new PrismaClient({ adapter, log: [{ emit: 'event', level: 'query' }] })
  prisma.$on('query', ({ query, duration, target }) => {
    if (queries.hasSubscribers) queries.publish({ durationMs: duration })
    // The parameters are not logged: they may be personal.
    if (slow > 0 && duration >= slow) log.warn({ query, durationMs: duration, target }, 'slow query')
  })
  fastify.decorate('prisma', prisma)
  fastify.decorate('databaseUrl', url)
  fastify.decorate('databasePool', pool)

  fastify.addHook('onReady', async () => {
    if (!fastify.hasDecorator('addHealthCheck')) return
    fastify.addHealthCheck('database', async () => {
      try {
        await prisma.$queryRaw`SELECT 1`
        return { ok: true }
      } catch (error) {
        return { ok: false, detail: connectionProblem(error, url) ?? 'the database does not answer' }
      }
    })
    fastify.addHealthCheck('migrations', async () => {
      const { pending, failed } = await migrationStatus(sql => prisma.$queryRawUnsafe(sql)).catch(error => {
        throw new Error(connectionProblem(error, url) ?? 'the migrations cannot be read')
      })
      const detail = [...failed.map(name => `${name} failed half-way`), ...pending.map(name => `${name} is pending`)].join(', ')
      return detail === '' ? { ok: true } : { ok: false, detail: `${detail}: run npm run db:migrate` }
    })
  })

  // onClose hooks run last to first: what was registered before, and may still need the database, is not yet closed.
  fastify.addHook('onClose', async () => {
    await prisma.$disconnect()
    await embedded?.close()
  })
}

/** What bounds every statement, by the database's own names; in milliseconds. 0 leaves it to the database. */
function limitsOf (config: Config): Record<string, number> {
  return {
    lock_timeout: config.DATABASE_LOCK_TIMEOUT,
    // Nobody waits for longer; a worker's jobs have time-outs of their own.
    statement_timeout: config.ROLE === 'worker' ? config.DATABASE_STATEMENT_TIMEOUT : Math.min(config.DATABASE_STATEMENT_TIMEOUT, config.REQUEST_TIMEOUT_MS),
    idle_in_transaction_session_timeout: config.DATABASE_IDLE_TRANSACTION_TIMEOUT
  }
}

/** The URL with limits and search path among its `options`. What it says itself comes last, and so counts. */
function connectionOf (text: string, limits: Record<string, number>): { connectionString: string, options?: string } {
  const url = new URL(text)
  const { searchParams } = url
  const schema = searchParams.get('schema')
  const own = searchParams.get('options')
  searchParams.delete('options')
  const options = Object.entries({ ...limits, search_path: schema ?? 0 }).flatMap(([name, value]) => value === 0 ? [] : [`-c ${name}=${value}`])
  if (own !== null) options.push(own)
  return { connectionString: own === null ? text : url.href, ...options.length > 0 ? { options: options.join(' ') } : {} }
}

/** Loaded only where it is used: in production it never is. */
async function openEmbedded (dataDir: string): Promise<EmbeddedDatabase> {
  const embedded = await import('../prisma/engine/embedded.ts')
  return await embedded.openEmbedded(dataDir)
}

export default fp(database, { name: 'database', dependencies: ['config'] })

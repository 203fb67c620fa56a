import { channel } from 'node:diagnostics_channel'
import { PrismaPg } from '@prisma/adapter-pg'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import pg from 'pg'
import { PrismaClient } from '../../prisma/generated/client.ts'
import type { EmbeddedDatabase } from '../../prisma/engine/embedded.ts'
import { within } from '../../server/within.ts'
import { connectionOf, heedFailures, limitsOf, patienceOf } from './connection.ts'
import { createProbe, databaseChecks, type ProbeQuery } from './probe.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The database, through Prisma. */
    prisma: PrismaClient
    /** Where it is, for what needs connections of its own; holds the password. */
    databaseUrl: string
    /** For health checks: a statement on a connection that is theirs alone, so that it waits for no request. */
    probeDatabase: ProbeQuery
    /** Prisma's connections: how many there are, are idle, and are waited for. */
    databasePool: Pick<pg.Pool, 'totalCount' | 'idleCount' | 'waitingCount' | 'on' | 'off'>
  }
}

/** Also how long a query waits for a free connection: as long as a transaction waits to begin. */
const CONNECT_TIMEOUT_MS = 15_000
const IDLE_TIMEOUT_MS = 30_000
const CLOSE_MS = 2_000

/** Is told `{ durationMs }` of each query. */
const queries = channel('keel:query')

/** Prisma on DATABASE_URL, or on the embedded PostgreSQL of DATA_DIR. */
async function database (fastify: FastifyInstance) {
  const { config, log } = fastify
  const embedded = config.DATABASE_URL === undefined ? await openEmbedded(config.DATA_DIR) : undefined
  const url = embedded?.url ?? config.DATABASE_URL ?? ''
  const schema = new URL(url).searchParams.get('schema') ?? undefined
  const limits = embedded ? {} : limitsOf(config)
  const connection = connectionOf(url, limits)
  const pool = new pg.Pool({ ...connection, ...patienceOf(limits, url), max: config.DATABASE_POOL_MAX, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, idleTimeoutMillis: IDLE_TIMEOUT_MS })
  heedFailures(pool)
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

  const probe = createProbe(url, connection)
  fastify.decorate('probeDatabase', probe.query)
  fastify.addHook('onReady', async () => {
    if (!fastify.hasDecorator('addHealthCheck')) return
    for (const [name, check] of Object.entries(databaseChecks(probe.query))) fastify.addHealthCheck(name, check)
  })

  // onClose hooks run last to first: what was registered before, and may still need the database, is not yet closed.
  fastify.addHook('onClose', async () => {
    // A connection that is dead does not end.
    await within(Promise.all([prisma.$disconnect(), probe.close()]), CLOSE_MS, () => log.warn('the connections to the database did not close: they are left'))
    await embedded?.close()
  })
}

/** Loaded only where it is used: in production it never is. */
async function openEmbedded (dataDir: string): Promise<EmbeddedDatabase> {
  const embedded = await import('../../prisma/engine/embedded.ts')
  return await embedded.openEmbedded(dataDir)
}

export default fp(database, { name: 'database', dependencies: ['config'] })

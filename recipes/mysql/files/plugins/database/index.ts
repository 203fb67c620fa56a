import { channel } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { PrismaClient } from '../../prisma/generated/client.ts'
import { adapterOf } from '../../prisma/mysql/adapter.ts'
import { Pool } from '../../prisma/mysql/pool.ts'
import { within } from '../../server/within.ts'
import { answerMsOf, limitsOf } from './connection.ts'
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
    databasePool: Pick<Pool, 'totalCount' | 'idleCount' | 'waitingCount' | 'on' | 'off'>
  }
}

const CLOSE_MS = 2_000

/** Is told `{ durationMs }` of each query. */
const queries = channel('keel:query')

/** Prisma on DATABASE_URL, a MySQL or MariaDB. */
async function database (fastify: FastifyInstance) {
  const { config, log } = fastify
  const url = config.DATABASE_URL
  if (url === undefined) throw new Error('DATABASE_URL is not set: this service has no database of its own.')
  const limits = limitsOf(config)
  const pool = new Pool(url, { max: config.DATABASE_POOL_MAX, limits, answerTimeoutMs: answerMsOf(limits) })
  const slow = config.DATABASE_SLOW_MS
  const prisma = new PrismaClient({ adapter: adapterOf(pool, url), log: [{ emit: 'event', level: 'query' }] })
  prisma.$on('query', ({ query, duration, target }) => {
    if (queries.hasSubscribers) queries.publish({ durationMs: duration })
    // The parameters are not logged: they may be personal.
    if (slow > 0 && duration >= slow) log.warn({ query, durationMs: duration, target }, 'slow query')
  })
  fastify.decorate('prisma', prisma)
  fastify.decorate('databaseUrl', url)
  fastify.decorate('databasePool', pool)

  const probe = createProbe(url)
  fastify.decorate('probeDatabase', probe.query)
  fastify.addHook('onReady', async () => {
    if (!fastify.hasDecorator('addHealthCheck')) return
    for (const [name, check] of Object.entries(databaseChecks(probe.query))) fastify.addHealthCheck(name, check)
  })

  // onClose hooks run last to first: what was registered before, and may still need the database, is not yet closed.
  fastify.addHook('onClose', async () => {
    // A connection that is dead does not end.
    await within(Promise.all([prisma.$disconnect(), probe.close()]), CLOSE_MS, () => log.warn('the connections to the database did not close: they are left'))
  })
}

export default fp(database, { name: 'database', dependencies: ['config'] })

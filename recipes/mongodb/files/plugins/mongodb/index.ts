import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { ClientSession, Collection, Document } from 'mongodb'
import { within } from '../../server/within.ts'
import { MongoAwayError } from './errors.ts'
import { Follower, type ChangesDefinition } from './follower.ts'
import { MongoLink } from './link.ts'
import { measure } from './metrics.ts'
import { missingIn, type NeededCollection } from './schema.ts'
import { inMongoTransaction } from './transaction.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** MongoDB (MONGODB_URL); without the setting every use of it is a 503. */
    mongodb: Mongo
  }
}

export interface Mongo {
  /** Whether MONGODB_URL is set. */
  isConfigured: boolean
  /** A collection of the database. @throws MongoAwayError while no server answers */
  collection: <T extends Document>(name: string) => Collection<T>
  /** Runs `work` in a transaction, again when others changed the same. On a server without any: MONGODB_TRANSACTIONS. */
  transaction: <T>(work: (session: ClientSession | undefined) => Promise<T>) => Promise<T>
  /** For how long an operation may run on the server, in milliseconds. */
  maxTimeMS: number
  /** Follows the changes of a collection (change streams); in a module of `jobs/`, before the service is ready. It runs unless ROLE is `web`. */
  follow: (definition: ChangesDefinition) => void
}

export interface MongodbOptions {
  /** What the database must have. */
  collections?: NeededCollection[]
}

/** MongoDB: the connection, its health, transactions, and who follows changes. */
async function mongodb (fastify: FastifyInstance, { collections = [] }: MongodbOptions) {
  const { log, prisma, shutdown, config: { MONGODB_URL, MONGODB_TIMEOUT, MONGODB_POOL_MAX, MONGODB_TRANSACTIONS, NODE_ENV, ROLE } } = fastify
  const metrics = fastify.hasDecorator('metrics') && fastify.metrics.isOn ? fastify.metrics : undefined
  const link = MONGODB_URL === undefined ? undefined : new MongoLink({ url: MONGODB_URL, timeoutMs: MONGODB_TIMEOUT, poolMax: MONGODB_POOL_MAX, monitorCommands: metrics !== undefined, log })
  const definitions = new Map<string, ChangesDefinition>()
  const followers: Follower[] = []
  let isReady = false

  function linked (): MongoLink {
    if (link === undefined) throw new MongoAwayError('MONGODB_URL is not set')
    link.assertThere()
    return link
  }

  fastify.decorate('mongodb', {
    isConfigured: link !== undefined,
    maxTimeMS: MONGODB_TIMEOUT,
    collection: name => linked().db.collection(name),
    transaction: async work => await inMongoTransaction({ link: linked(), isRequired: MONGODB_TRANSACTIONS === 'required', timeoutMs: MONGODB_TIMEOUT }, work),
    follow: definition => {
      const { name } = definition
      if (isReady) throw new Error(`Who follows changes as "${name}" is declared too late: before the service is ready.`)
      if (definitions.has(name)) throw new Error(`Who follows changes as "${name}" is declared twice.`)
      definitions.set(name, definition)
    }
  })
  fastify.addHook('onReady', async () => { isReady = true })

  if (link === undefined) {
    fastify.addHook('onReady', async () => log[NODE_ENV === 'production' ? 'warn' : 'info']('MONGODB_URL is not set: what is in MongoDB is not available'))
    return
  }

  if (metrics !== undefined) measure({ client: link.client, isUp: () => link.trouble === undefined }, metrics.registry)
  let isPrepared = false
  fastify.addHook('onReady', async () => {
    await link.start()
    if (fastify.hasDecorator('addHealthCheck')) fastify.addHealthCheck('mongodb', check)
    if (ROLE === 'web') return
    for (const definition of definitions.values()) {
      const follower = new Follower(definition, { link, prisma, log })
      followers.push(follower)
      follower.start()
    }
  })

  /** Its heartbeats have a connection of their own: a service that is busy does not look as if it had no database. */
  async function check (): Promise<{ ok: boolean, detail?: string }> {
    const { trouble } = link as MongoLink
    if (trouble !== undefined) return { ok: false, detail: trouble }
    if (MONGODB_TRANSACTIONS === 'required' && !await (link as MongoLink).isReplicated()) return { ok: false, detail: 'it is a single server without a replica set, and has no transactions: see MONGODB_TRANSACTIONS' }
    // What was there once stays there.
    const missing = isPrepared ? [] : await missingIn((link as MongoLink).db, collections)
    isPrepared = missing.length === 0
    return isPrepared ? { ok: true } : { ok: false, detail: `${missing.join(', ')}: run npm run db:migrate` }
  }

  // What handlers use is still there.
  fastify.addHook('preClose', async () => {
    await within(Promise.all(followers.map(follower => follower.stop())), shutdown.remainingMs(), () => {})
  })
  // Requests have ended by now.
  fastify.addHook('onClose', async () => await link.close())
}

export type { Change } from './change.ts'
export type { ChangesDefinition } from './follower.ts'
export default fp(mongodb, { name: 'mongodb', dependencies: ['config', 'database', 'metrics', 'shutdown'] })

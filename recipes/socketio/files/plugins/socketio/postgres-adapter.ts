import { Socket } from 'node:net'
import { createAdapter } from '@socket.io/postgres-adapter'
import pg from 'pg'
import type { ClusterAdapter } from 'socket.io-adapter'
import { KEEP_ALIVE } from '../database/connection.ts'
import type { Passage, PassageOptions } from './adapters.ts'
import { inSharedOrder } from './shared-order.ts'

const PATIENCE_MS = 3_000
const PROBE_MS = 10_000
/** What a notification of PostgreSQL can hold is less than 8000 bytes. */
const MAX_BYTES = 7_900
/** What is larger would go through a table, and could be overtaken there. */
const NEVER_MS = 2 ** 31 - 1

/** Through LISTEN/NOTIFY: nothing is kept, so that who was away has missed something and is told so. */
export function postgresPassage ({ databaseUrl, name, log, onGap }: PassageOptions): Passage {
  const settings: pg.ClientConfig = { connectionString: databaseUrl, connectionTimeoutMillis: PATIENCE_MS, query_timeout: PATIENCE_MS, application_name: 'keel socketio', ...KEEP_ALIVE }
  // One connection: what is said first is heard first.
  const writer = new pg.Pool({ ...settings, max: 1 })
  writer.on('error', () => {})
  let listener: pg.Client | undefined
  let hasListened = false
  let isClosed = false

  /** The adapter connects again after a while when this one ends. */
  async function connect (): Promise<pg.Client> {
    if (isClosed) throw new Error('The service is stopping.')
    const socket = new Socket()
    const client = new pg.Client({ ...settings, stream: () => socket })
    // One that died without a word is found out by asking, and does not end when it is asked to.
    const ask = client.query.bind(client) as (text: string) => Promise<unknown>
    const probe = setInterval(() => { ask('SELECT 1').catch(() => socket.destroy()) }, PROBE_MS)
    // The library takes the listeners of a client away that it is done with.
    socket.on('close', () => clearInterval(probe))
    client.on('error', () => {})
    client.on('end', () => {
      if (listener === client) listener = undefined
      if (!isClosed) log.warn('not listening for messages to rooms: connecting again')
    })
    await client.connect()
    return Object.assign(client, { release: () => { client.end().catch(() => {}) } })
  }

  /** What the adapter listens with is there when its LISTEN has been answered. */
  async function listening (): Promise<pg.Client> {
    const client = await connect()
    const query = client.query.bind(client) as (text: string) => Promise<unknown>
    Object.assign(client, {
      query: async (text: string) => {
        const result = await query(text)
        listener = client
        if (hasListened) onGap()
        hasListened = true
        return result
      }
    })
    return client
  }

  const prefix = `keel:socketio:${name}`.slice(0, 55)
  const pool = { connect: listening, query: async () => ({ rows: [] }) } as unknown as pg.Pool
  const create = createAdapter(pool, { channelPrefix: prefix, payloadThreshold: Infinity, cleanupInterval: NEVER_MS, errorHandler: error => log.warn({ err: error }, 'a message to a room can\'t be read') })

  return {
    create: namespace => {
      const adapter = create(namespace) as unknown as ClusterAdapter
      const doPublish = async (message: { nsp: string }) => {
        const text = JSON.stringify(message)
        if (Buffer.byteLength(text) > MAX_BYTES) throw new Error(`A message to a room has ${MAX_BYTES} bytes at the most, all in all.`)
        await writer.query('SELECT pg_notify($1, $2)', [`${prefix}#${message.nsp}`, text])
        return ''
      }
      Object.assign(adapter, { doPublish, doPublishResponse: async (_uid: string, message: { nsp: string }) => { await doPublish(message) } })
      return inSharedOrder(adapter, error => log.warn({ err: error }, 'a message to a room can\'t be passed on'))
    },
    keepsAll: false,
    recovers: false,
    offset: () => undefined,
    missed: () => [],
    isThere: () => listener !== undefined,
    close: async () => {
      isClosed = true
      await Promise.allSettled([listener?.end(), writer.end()])
    }
  }
}

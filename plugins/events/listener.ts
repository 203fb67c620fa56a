import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import pg from 'pg'
import { within } from '../../server/within.ts'

const FIRST_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 5_000
const CONNECT_TIMEOUT_MS = 5_000
const CLOSE_MS = 1_000
/** A connection that died without a word is found out by asking it now and then. */
const PROBE_MS = 10_000

/** Where the events are, and the channel that the trigger of their table notifies; the payload is the schema of the table. */
export interface Source { url: string, schema: string | undefined, channel?: string }

export interface Listener { close: () => Promise<void> }

/**
 * Calls `onWake` whenever a transaction with events (of whichever channel) was committed, by any process, and after
 * each (re)connection, as notifications may have been missed before it.
 */
export function listen ({ url, schema = 'public', channel = 'events' }: Source, onWake: () => void, log: FastifyBaseLogger): Listener {
  const stop = new AbortController()

  async function run (): Promise<void> {
    for (let backoff = FIRST_BACKOFF_MS; !stop.signal.aborted; backoff = Math.min(backoff * 2, MAX_BACKOFF_MS)) {
      const since = performance.now()
      await hear().catch(error => {
        if (!stop.signal.aborted) log.warn({ err: error }, `not listening for ${channel}: asking for them now and then`)
      })
      if (performance.now() - since > MAX_BACKOFF_MS) backoff = FIRST_BACKOFF_MS
      await sleep(backoff, undefined, { signal: stop.signal }).catch(() => {})
    }
  }

  /** Listens until the connection ends or the listener is closed. */
  async function hear (): Promise<void> {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: CONNECT_TIMEOUT_MS, keepAlive: true, application_name: `keel ${channel}` })
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>()
    client.on('error', reject)
    client.on('end', () => reject(new Error('the connection ended')))
    client.on('notification', ({ payload }) => { if (payload === schema) onWake() })
    const probe = setInterval(() => client.query('SELECT 1').catch(reject), PROBE_MS)
    const onStop = () => resolve()
    stop.signal.addEventListener('abort', onStop)
    try {
      // One that is to stop while it connects ends its connection below.
      await client.connect()
      await client.query(`LISTEN ${channel}`)
      onWake()
      await ended
    } finally {
      clearInterval(probe)
      // It would keep the connection for as long as the service runs.
      stop.signal.removeEventListener('abort', onStop)
      ended.catch(() => {})
      // A connection that is dead does not end in time.
      await within(client.end().catch(() => {}), CLOSE_MS, () => {})
    }
  }

  const running = run()
  return {
    async close () {
      stop.abort()
      await running
    }
  }
}

import { Agenda } from 'agenda'
import pg from 'pg'
import { connectionOf, KEEP_ALIVE } from '../../database/connection.ts'
import { Bell } from './bell.ts'
import { Repository } from './repository.ts'
import { POLL_MS } from './settings.ts'

const POOL_MAX = 4
const CONNECT_TIMEOUT_MS = 10_000
/** A connection without an answer by then is dead. */
const ANSWER_MS = 10_000

/** Agenda, and what it works with. */
export interface Parts { agenda: Agenda, pool: pg.Pool, repository: Repository, bell: Bell }

/** Makes an agenda that is not started: until something is asked of it, it does not connect. */
export function createAgenda (databaseUrl: string): Parts {
  const pool = new pg.Pool({ ...connectionOf(databaseUrl, {}), ...KEEP_ALIVE, max: POOL_MAX, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: ANSWER_MS })
  // The next statement says so.
  pool.on('error', () => {})
  const bell = new Bell()
  const repository = new Repository(pool, name => bell.ring(name))
  const agenda = new Agenda({
    backend: { name: 'PostgreSQL', repository, ownsConnection: false, connect: async () => {}, disconnect: async () => {} },
    notificationChannel: bell,
    processEvery: POLL_MS,
    // Each queue has its own.
    maxConcurrency: Number.MAX_SAFE_INTEGER
  })
  return { agenda, pool, repository, bell }
}

import pg from 'pg'
import type { Query } from '../driver.ts'

const CONNECT_TIMEOUT_MS = 15_000

/** Runs `use` on a connection of its own, which ends with it. */
export async function withClient<T> (url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end().catch(() => {})
  }
}

/** A connection as what asks it for rows. */
export function queryOf (client: pg.Client): Query {
  return async sql => (await client.query<Record<string, unknown>>(sql)).rows
}

import pg from 'pg'
import { connectionOf, KEEP_ALIVE } from '../database/connection.ts'

const CONNECT_TIMEOUT_MS = 15_000

/** Runs `use` on a connection of its own, which ends with it. */
export async function withClient<T> (url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...connectionOf(url, {}), ...KEEP_ALIVE, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end().catch(() => {})
  }
}

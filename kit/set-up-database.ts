// How the set-up gets at its database: PostgreSQL at DATABASE_URL or, without it, the embedded one in the data folder.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import type { PrismaClient } from '../prisma/generated/client.ts'
import { DataDirError, embeddedUrl, openEmbedded } from '../prisma/engine/embedded.ts'
import { SET_UP_MARK } from '../prisma/engine/owner.ts'
import { connectionProblem } from '../prisma/migrate.ts'
import { SetUpError } from './set-up-error.ts'

const CONNECT_TIMEOUT_MS = 5_000

/** What else than a SetUpError is said by its message alone. */
export const saidAsTheyAre = [DataDirError]

/** Runs `use` on a connection. @throws SetUpError, also for what `use` throws */
export async function withQuery<T> (url: string, use: (query: (sql: string) => Promise<Record<string, unknown>[]>) => Promise<T>): Promise<T> {
  let client: pg.Client | undefined
  try {
    // Reads the files that the URL names, certificates for example.
    const connected = client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
    client.on('error', () => {})
    await client.connect()
    return await use(async sql => (await connected.query<Record<string, unknown>>(sql)).rows)
  } catch (error) {
    const { code, message } = error as { code?: string, message: string }
    const isFinal = /^(28|3D)/.test(code ?? '')
    throw Object.assign(new SetUpError(connectionProblem(error, url) ?? `The database cannot be used: ${message}`, { isFinal }), { code })
  } finally {
    await client?.end().catch(() => {})
  }
}

/** A client. Loaded only when needed: it and the adapter take a good part of a second. */
export async function openPrisma (url: string): Promise<PrismaClient> {
  const [{ PrismaPg }, { PrismaClient }] = await Promise.all([import('@prisma/adapter-pg'), import('../prisma/generated/client.ts')])
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
}

/**
 * Has the embedded database made ready, once for each state: a mark in the data folder tells that nothing is to be done,
 * without opening the database.
 * @throws DataDirError, with the holder's name, while another process has the folder
 */
export async function setUpEmbedded (dataDir: string, state: string, prepare: (url: string) => Promise<void>): Promise<void> {
  const mark = join(dataDir, SET_UP_MARK)
  const done = existsSync(mark) && readFileSync(mark, 'utf8') === state && existsSync(join(dataDir, 'postgres'))
  if (await embeddedUrl(dataDir) === undefined && done) return
  const { url, close } = await openEmbedded(dataDir)
  try {
    if (done) return
    await prepare(url)
    writeFileSync(mark, state)
  } finally {
    await close()
  }
}

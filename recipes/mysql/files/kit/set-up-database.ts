// How the set-up gets at its database, MariaDB or MySQL at DATABASE_URL.
import type mariadb from 'mariadb'
import type { PrismaClient } from '../prisma/generated/client.ts'
import { connectionProblem } from '../prisma/migrate.ts'
import { openSession, sessionOf } from '../prisma/mysql/session.ts'
import { SetUpError } from './set-up-error.ts'

/** A wrong password, or a database that does not exist, stays wrong. */
const FINAL = new Set([1044, 1045, 1049, 1698])

/** What else than a SetUpError is said by its message alone. */
export const saidAsTheyAre: ErrorConstructor[] = []

/** Runs `use` on a connection. @throws SetUpError, also for what `use` throws */
export async function withQuery<T> (url: string, use: (query: (sql: string) => Promise<Record<string, unknown>[]>) => Promise<T>): Promise<T> {
  let client: mariadb.Connection | undefined
  try {
    // Reads the file that the URL names, a certificate for example.
    const connected = client = await openSession(sessionOf(url))
    return await use(async sql => await connected.query<Record<string, unknown>[]>(sql))
  } catch (error) {
    const { errno, message } = error as { errno?: number, message: string }
    throw Object.assign(new SetUpError(connectionProblem(error, url) ?? `The database cannot be used: ${message}`, { isFinal: FINAL.has(errno ?? 0) }), { errno })
  } finally {
    await client?.end().catch(() => {})
  }
}

/** A client. Loaded only when needed: it and the adapter take a good part of a second. */
export async function openPrisma (url: string): Promise<PrismaClient> {
  const [{ adapterOf }, { Pool }, { PrismaClient }] = await Promise.all([import('../prisma/mysql/adapter.ts'), import('../prisma/mysql/pool.ts'), import('../prisma/generated/client.ts')])
  return new PrismaClient({ adapter: adapterOf(new Pool(url), url) })
}

/** There is no embedded one. @throws SetUpError */
export async function setUpEmbedded (_dataDir: string, _state: string, _prepare: (url: string) => Promise<void>): Promise<void> {
  throw new SetUpError('DATABASE_URL is not set: this service needs a MariaDB or MySQL, as mysql://user:password@127.0.0.1:3306/database (in the environment or in .env). The database may be empty, but must be there.')
}

import { resolve } from 'node:path'
import { readEnvironment, readSecret } from '../prisma/engine/cli-config.ts'
import { DataDirError, borrowEmbedded } from '../prisma/engine/embedded.ts'

/**
 * Lets a command use the database of the settings: that of DATABASE_URL, else the embedded one,
 * beside a running service or without it. Found as the Prisma CLI finds it: no other setting is read.
 * @throws DataDirError with a message for the operator
 */
export async function withDatabaseUrl<T> (use: (url: string) => Promise<T>): Promise<T> {
  const env = readEnvironment()
  const given = readSecret(env, 'DATABASE_URL')
  if (given !== undefined) return await use(given)
  // In production nothing falls back to the embedded database.
  if (env.NODE_ENV === 'production') throw new DataDirError('DATABASE_URL must be set in production.')
  const { url, close } = await borrowEmbedded(resolve(env.DATA_DIR || '.data'))
  try {
    return await use(url)
  } finally {
    await close()
  }
}

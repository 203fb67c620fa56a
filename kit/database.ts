import { resolve } from 'node:path'
import { readEnvironment, readSecret } from '../prisma/cli-config.ts'
import { DataDirError, borrowEmbedded } from '../prisma/engine/embedded.ts'

/** Something the operator can put right; the message says how. */
export class CommandError extends Error {}

/**
 * Lets a command use the database of the settings: that of DATABASE_URL, else the embedded one,
 * beside a running service or without it. Found as the Prisma CLI finds it: no other setting is
 * read, a migration takes none of the service's secrets.
 * @throws DataDirError, CommandError with a message for the operator
 */
export async function withDatabaseUrl<T> (use: (url: string) => Promise<T>, env = readEnvironment()): Promise<T> {
  const given = readSecret(env, 'DATABASE_URL')
  if (given !== undefined) return await use(given)
  // In production nothing falls back to the embedded database.
  if (env.NODE_ENV === 'production') throw new CommandError('DATABASE_URL must be set in production.')
  const { url, close } = await borrowEmbedded(resolve(env.DATA_DIR || '.data'))
  try {
    return await use(url)
  } finally {
    await close()
  }
}

/**
 * The same for a whole command: what the operator can put right is printed without a stack.
 * @param use throws a CommandError for that
 */
export async function withDatabase (use: (url: string) => Promise<void>): Promise<void> {
  try {
    await withDatabaseUrl(use)
  } catch (error) {
    if (!(error instanceof CommandError || error instanceof DataDirError)) throw error
    process.stderr.write(`${error.message.trimEnd()}\n`)
    process.exitCode = 1
  }
}

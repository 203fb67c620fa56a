import { resolve } from 'node:path'
import { readEnvironment, readSecret } from '../prisma/engine/cli-config.ts'
import { DataDirError, borrowEmbedded } from '../prisma/engine/embedded.ts'

/** Something the operator can put right; the message says how. */
export class CommandError extends Error {}

/**
 * Runs a command on the database of the settings, found as the Prisma CLI finds it: a migration
 * takes none of the service's secrets. What the operator can put right is printed without a stack.
 * @param use throws a CommandError for that
 */
export async function withDatabase (use: (url: string) => Promise<void>): Promise<void> {
  try {
    const env = readEnvironment()
    const given = readSecret(env, 'DATABASE_URL')
    if (given === undefined && env.NODE_ENV === 'production') throw new CommandError('DATABASE_URL must be set in production.')
    const embedded = given === undefined ? await borrowEmbedded(resolve(env.DATA_DIR || '.data')) : undefined
    try {
      await use(given ?? embedded?.url ?? '')
    } finally {
      await embedded?.close()
    }
  } catch (error) {
    if (!(error instanceof CommandError || error instanceof DataDirError)) throw error
    process.stderr.write(`${error.message.trimEnd()}\n`)
    process.exitCode = 1
  }
}

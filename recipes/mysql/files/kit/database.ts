import { readEnvironment, readSecret } from '../prisma/cli-config.ts'

/** Something the operator can put right; the message says how. */
export class CommandError extends Error {}

/**
 * Lets a command use the database of the settings, DATABASE_URL. Found as the Prisma CLI finds it: no other setting is
 * read, a migration takes none of the service's secrets. What the operator can put right is printed without a stack.
 * @param use throws a CommandError for that
 */
export async function withDatabase (use: (url: string) => Promise<void>): Promise<void> {
  try {
    const url = readSecret(readEnvironment(), 'DATABASE_URL')
    if (url === undefined) throw new CommandError('DATABASE_URL is not set: mysql://user:password@host:3306/database.')
    await use(url)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    process.stderr.write(`${error.message.trimEnd()}\n`)
    process.exitCode = 1
  }
}

import { readEnvironment, readSecret } from '../prisma/cli-config.ts'

/** Something the operator can put right; the message says how. */
export class CommandError extends Error {}

/**
 * Lets a command use the database of the settings, DATABASE_URL. Found as the Prisma CLI finds it: no other setting is
 * read, a migration takes none of the service's secrets.
 * @throws CommandError with a message for the operator
 */
export async function withDatabaseUrl<T> (use: (url: string) => Promise<T>, env = readEnvironment()): Promise<T> {
  const url = readSecret(env, 'DATABASE_URL')
  if (url === undefined) throw new CommandError('DATABASE_URL is not set: mysql://user:password@host:3306/database.')
  return await use(url)
}

/**
 * The same for a whole command: what the operator can put right is printed without a stack.
 * @param use throws a CommandError for that
 */
export async function withDatabase (use: (url: string) => Promise<void>): Promise<void> {
  try {
    await withDatabaseUrl(use)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    process.stderr.write(`${error.message.trimEnd()}\n`)
    process.exitCode = 1
  }
}

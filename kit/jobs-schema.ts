// Makes or migrates the tables of the jobs in the database of the settings. With --reset also takes
// all jobs away, a part of `npm run db:reset`; queues and schedules stay, for the service that may be running.
import { driver } from '../plugins/jobs/chosen.ts'
import { connectionProblem } from '../prisma/migrate.ts'
import { readEnvironment, readSecret } from '../prisma/cli-config.ts'
import { CommandError, withDatabase } from './database.ts'

/** What a driver needs to know beside the database: a setting, from the environment, a file that it names, or `.env`. */
export function setting (name: string): string | undefined {
  return readSecret(readEnvironment(), name)
}

/**
 * Makes or migrates the tables of the jobs, and says so.
 * @throws CommandError
 */
export async function migrateJobs (url: string): Promise<void> {
  try {
    console.log(await driver.storage.apply(url) ? 'The tables of the jobs have been made or migrated.' : 'The tables of the jobs are up to date.')
  } catch (error) {
    throw new CommandError(connectionProblem(error, url) ?? `The tables of the jobs could not be made: ${(error as Error).message}`)
  }
}

if (import.meta.main) {
  await withDatabase(async url => {
    await migrateJobs(url)
    if (process.argv.includes('--reset')) await driver.storage.clear({ databaseUrl: url, setting })
  })
}

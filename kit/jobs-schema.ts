// Installs or migrates pg-boss's tables in the database of the settings. With --reset also takes
// all jobs away, a part of `npm run db:reset`; queues and schedules stay, for the service that may be running.
import pg from 'pg'
import { applyJobsSchema, jobsSchema } from '../plugins/jobs/schema.ts'
import { connectionProblem } from '../prisma/migrate.ts'
import { CommandError, withDatabase } from './database.ts'

/**
 * Installs or migrates the tables of the jobs, and says so.
 * @throws CommandError
 */
export async function migrateJobs (url: string): Promise<void> {
  try {
    console.log(await applyJobsSchema(url) ? 'The tables of the jobs have been made or migrated.' : 'The tables of the jobs are up to date.')
  } catch (error) {
    throw new CommandError(connectionProblem(error, url) ?? `The tables of the jobs could not be made: ${(error as Error).message}`)
  }
}

async function takeJobsAway (url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`DELETE FROM ${jobsSchema(url)}.job`).finally(() => client.end())
}

if (import.meta.main) {
  await withDatabase(async url => {
    await migrateJobs(url)
    if (process.argv.includes('--reset')) await takeJobsAway(url)
  })
}

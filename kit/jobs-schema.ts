// Installs or migrates pg-boss's tables in the database of the settings: a part of `npm run
// db:migrate`. With --reset also takes all jobs away, a part of `npm run db:reset`; queues
// and schedules stay, for the service that may be running.
import pg from 'pg'
import { applyJobsSchema, jobsSchema } from '../plugins/jobs/schema.ts'
import { DataDirError } from '../prisma/engine/embedded.ts'
import { connectionProblem } from '../prisma/migrate.ts'
import { withDatabaseUrl } from './database-url.ts'

async function migrate (url: string): Promise<void> {
  try {
    const isNew = await applyJobsSchema(url)
    if (process.argv.includes('--reset')) await takeJobsAway(url)
    console.log(isNew ? 'The tables of the jobs have been made or migrated.' : 'The tables of the jobs are up to date.')
  } catch (error) {
    fail(connectionProblem(error, url) ?? `The tables of the jobs could not be made: ${(error as Error).message}`)
  }
}

async function takeJobsAway (url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`DELETE FROM ${jobsSchema(url)}.job`).finally(() => client.end())
}

function fail (message: string): void {
  process.stderr.write(`${message}\n`)
  process.exitCode = 1
}

try {
  await withDatabaseUrl(migrate)
} catch (error) {
  if (!(error instanceof DataDirError)) throw error
  fail(error.message)
}

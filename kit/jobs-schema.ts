// Installs or migrates pg-boss's tables in the database of the settings: a part of `npm run
// db:migrate`. With --reset also takes all jobs away, a part of `npm run db:reset`; queues
// and schedules stay, for the service that may be running.
import { resolve } from 'node:path'
import pg from 'pg'
import { applyJobsSchema, jobsSchema } from '../plugins/jobs/schema.ts'
import { readEnvironment, readSecret } from '../prisma/engine/cli-config.ts'
import { DataDirError, borrowEmbedded } from '../prisma/engine/embedded.ts'
import { connectionProblem } from '../prisma/migrate.ts'

async function main (): Promise<void> {
  // As the Prisma CLI finds it: migrating takes none of the service's secrets.
  const env = readEnvironment()
  const given = readSecret(env, 'DATABASE_URL')
  if (given === undefined && env.NODE_ENV === 'production') throw new DataDirError('DATABASE_URL must be set in production.')
  const embedded = given === undefined ? await borrowEmbedded(resolve(env.DATA_DIR || '.data')) : undefined
  const url = given ?? embedded?.url ?? ''
  try {
    const isNew = await applyJobsSchema(url)
    if (process.argv.includes('--reset')) await takeJobsAway(url)
    console.log(isNew ? 'The tables of the jobs have been made or migrated.' : 'The tables of the jobs are up to date.')
  } catch (error) {
    const said = connectionProblem(error, url) ?? `The tables of the jobs could not be made: ${(error as Error).message}`
    process.stderr.write(`${said}\n`)
    process.exitCode = 1
  } finally {
    await embedded?.close()
  }
}

async function takeJobsAway (url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`DELETE FROM ${jobsSchema(url)}.job`).finally(() => client.end())
}

try {
  await main()
} catch (error) {
  if (!(error instanceof DataDirError)) throw error
  process.stderr.write(`${error.message.trimEnd()}\n`)
  process.exitCode = 1
}

// `npm run db:migrate`, and the migration step of a deployment: what is pending of prisma/migrations,
// then the tables of the jobs. Several may run at once; the Prisma CLI is not needed.
import { MigrationError, applyMigrations } from '../prisma/migrate.ts'
import { CommandError, withDatabase } from './database.ts'
import { migrateJobs } from './jobs-schema.ts'

await withDatabase(async url => {
  const applied = await applyMigrations(url).catch((error: unknown) => {
    throw error instanceof MigrationError ? new CommandError(error.message) : error
  })
  console.log(applied.length === 0 ? 'No migration is pending.' : `Applied ${applied.join(', ')}.`)
  await migrateJobs(url)
})

// Configuration of the Prisma CLI: which database, which schema engine.
import { defineConfig } from 'prisma/config'
import { commandName, readEnvironment, readSecret } from './prisma/cli-config.ts'

const env = readEnvironment()

// What needs no schema engine downloads none: any file that is there will do. `prisma migrate` and `prisma db` use Prisma's
// own, which the CLI downloads, unless PRISMA_SCHEMA_ENGINE_BINARY names it.
if (['generate', 'validate', 'format', 'studio'].includes(commandName())) process.env.PRISMA_SCHEMA_ENGINE_BINARY ||= process.execPath

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations', seed: 'node prisma/seed.ts' },
  datasource: { url: readSecret(env, 'DATABASE_URL'), shadowDatabaseUrl: readSecret(env, 'SHADOW_DATABASE_URL') }
})

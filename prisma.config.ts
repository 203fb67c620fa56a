// Configuration of the Prisma CLI: which database, which schema engine.
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'prisma/config'
import { afterCommand } from './prisma/engine/cli-after.ts'
import { commandName, readEnvironment, readSecret } from './prisma/cli-config.ts'
import { studioUrl } from './prisma/engine/cli-studio.ts'
import { embeddedPlaceholder } from './prisma/engine/owner.ts'

const env = readEnvironment()

// The kit's schema engine needs no download and no right to create databases. To use
// Prisma's own binary, name it in PRISMA_SCHEMA_ENGINE_BINARY (environment or .env).
if (!process.env.PRISMA_SCHEMA_ENGINE_BINARY && !process.env.PRISMA_MIGRATION_ENGINE_BINARY) {
  process.env.PRISMA_SCHEMA_ENGINE_BINARY = env.PRISMA_SCHEMA_ENGINE_BINARY ||
    fileURLToPath(new URL('./prisma/engine/schema-engine', import.meta.url))
}

let url = readSecret(env, 'DATABASE_URL')
// In production nothing falls back to the embedded database.
const dataDir = url || env.NODE_ENV === 'production' ? undefined : resolve(env.DATA_DIR || '.data')
if (dataDir !== undefined) {
  // The engine connects to the folder's server, or opens the folder when there is none.
  process.env.KEEL_EMBEDDED_DATA_DIR = dataDir
  url = commandName() === 'studio' ? await studioUrl(dataDir) : embeddedPlaceholder(dataDir)
}
afterCommand(dataDir)

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations', seed: 'node prisma/seed.ts' },
  datasource: { url, shadowDatabaseUrl: readSecret(env, 'SHADOW_DATABASE_URL') }
})

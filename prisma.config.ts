// Configuration of the Prisma CLI: which database, which schema engine.
import { fileURLToPath } from 'node:url'
import { resolve } from 'node:path'
import { defineConfig } from 'prisma/config'
import { readEnvironment, readSecret } from './prisma/engine/cli-config.ts'
import { embeddedPlaceholder } from './prisma/engine/owner.ts'

const env = readEnvironment()

// The kit's schema engine needs no download and no right to create databases.
// To use Prisma's own binary, name it in PRISMA_SCHEMA_ENGINE_BINARY.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ||= env.PRISMA_SCHEMA_ENGINE_BINARY ||
  fileURLToPath(new URL('./prisma/engine/schema-engine', import.meta.url))

let url = readSecret(env, 'DATABASE_URL')
if (!url && env.NODE_ENV !== 'production') {
  const folder = resolve(env.DATA_DIR || '.data')
  process.env.KEEL_EMBEDDED_DATA_DIR = folder
  url = embeddedPlaceholder(folder)
}

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations', seed: 'node prisma/seed.ts' },
  datasource: { url, shadowDatabaseUrl: readSecret(env, 'SHADOW_DATABASE_URL') },
})

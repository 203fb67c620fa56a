// Before a run: one database with all migrations, that every test file clones.
// In memory (PGlite) by default; on the server of TEST_DATABASE_URL when that is set.
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { withQuery } from '../../kit/set-up-database.ts'
import { SetUpError } from '../../kit/set-up-error.ts'
import { createEphemeral } from '../../prisma/engine/embedded.ts'
import { driver } from '../../plugins/jobs/chosen.ts'
import { applyMigrations } from '../../prisma/migrate.ts'

const root = join(import.meta.dirname, '../..')
const cache = join(root, 'node_modules/.cache/keel')

/** A database of its own for the caller. */
export interface TestDatabase { url: string, close: () => Promise<void> }

/** Clones the template. */
export async function cloneTemplate (): Promise<TestDatabase> {
  const server = process.env.TEST_DATABASE_URL
  if (!server) {
    const { url, close } = await createEphemeral({ load: readFileSync(await embeddedTemplate()) })
    return { url, close }
  }
  const name = `keel_test_${randomUUID().replaceAll('-', '')}`
  await withServer(server, `CREATE DATABASE ${name} TEMPLATE ${await serverTemplate(server)}`)
  return {
    url: databaseUrl(server, name),
    close: () => withServer(server, `DROP DATABASE ${name} WITH (FORCE)`)
  }
}

async function embeddedTemplate (): Promise<string> {
  const file = join(cache, `template-${migrationsHash()}.tar`)
  if (existsSync(file)) return file
  const database = await createEphemeral()
  await migrate(database.url)
  const part = `${file}.${randomUUID()}`
  mkdirSync(cache, { recursive: true })
  writeFileSync(part, await database.dump())
  renameSync(part, file)
  await database.close()
  return file
}

async function serverTemplate (server: string): Promise<string> {
  const name = `keel_template_${migrationsHash()}`
  try {
    await withServer(server, `CREATE DATABASE ${name}`)
  } catch (error) {
    // duplicate_database, or two that create it at once
    const { code = '' } = error as pg.DatabaseError
    if (code === '42P04' || code === '23505') return name
    if (code === '42501') throw new SetUpError('The tests make databases of their own: give the role of TEST_DATABASE_URL (or DATABASE_URL) the right to, or unset it.')
    throw error
  }
  await migrate(databaseUrl(server, name))
  return name
}

async function migrate (url: string): Promise<void> {
  await applyMigrations(url)
  await driver.storage.apply(url)
}

function migrationsHash (): string {
  const folder = join(root, 'prisma/migrations')
  const hash = createHash('sha256').update(`jobs ${driver.storage.version()}`)
  for (const name of readdirSync(folder).sort()) {
    const file = join(folder, name, 'migration.sql')
    if (existsSync(file)) hash.update(name).update(readFileSync(file))
  }
  return hash.digest('hex').slice(0, 16)
}

function databaseUrl (server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function withServer (url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

// Run by itself, before the tests, it makes the template, so that test files need not race for it.
if (import.meta.main) {
  const server = process.env.TEST_DATABASE_URL
  try {
    if (server) await withQuery(server, async () => {})
    await (server ? serverTemplate(server) : embeddedTemplate())
  } catch (error) {
    if (!(error instanceof SetUpError)) throw error
    process.stderr.write(`The database of the tests, TEST_DATABASE_URL (or DATABASE_URL): ${error.message}\n`)
    process.exit(1)
  }
}

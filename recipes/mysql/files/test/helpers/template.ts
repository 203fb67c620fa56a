// Before a run: one database with all migrations, whose tables every test file has copies of in a database of its own.
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import mariadb from 'mariadb'
import { SetUpError } from '../../kit/set-up-error.ts'
import { applyMigrations, connectionProblem } from '../../prisma/migrate.ts'
import { sessionOf } from '../../prisma/mysql/session.ts'

const root = join(import.meta.dirname, '../..')
/** The MariaDB or MySQL of this machine, where no other is named. */
const HERE = 'mysql://root@127.0.0.1:3306/mysql'

/** The server that the tests use: of TEST_DATABASE_URL, if it is one of MySQL or MariaDB. */
export const server = [process.env.TEST_DATABASE_URL, process.env.TEST_MYSQL_URL].find(url => /^(mysql|mariadb):/.test(url ?? '')) ?? HERE
// Tests of what needs a server ask for it.
process.env.TEST_DATABASE_URL = server

/** A database of its own for the caller. */
export interface TestDatabase { url: string, close: () => Promise<void> }

/** Makes a database like the template. */
export async function cloneTemplate (): Promise<TestDatabase> {
  const name = `keel_test_${randomUUID().replaceAll('-', '')}`
  const template = await serverTemplate()
  await withServer(async client => {
    await client.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
    await client.query(`USE ${name}`)
    await client.query('SET foreign_key_checks = 0')
    for (const script of await scriptOf(client, template)) await client.query(script)
  })
  return {
    url: databaseUrl(name),
    close: async () => await withServer(async client => {
      // What still has it open would keep it from being dropped.
      const open = await client.query<{ id: number }[]>('SELECT id FROM information_schema.processlist WHERE db = ?', [name])
      for (const { id } of open) await client.query(`KILL ${id}`).catch(() => {})
      await client.query(`DROP DATABASE ${name}`)
    })
  }
}

const scripts = new Map<string, Promise<string[]>>()

/** The statements that make the tables of the template, and what is in them. */
async function scriptOf (client: mariadb.Connection, template: string): Promise<string[]> {
  const made = scripts.get(template) ?? (async () => {
    const tables = await client.query<{ name: string }[]>('SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ? ORDER BY 1', [template])
    const create = await Promise.all(tables.map(async ({ name }) => String((await client.query<Record<string, string>[]>(`SHOW CREATE TABLE \`${template}\`.\`${name}\``))[0]?.['Create Table'])))
    return [...create, ...tables.map(({ name }) => `INSERT INTO \`${name}\` SELECT * FROM \`${template}\`.\`${name}\``)]
  })()
  scripts.set(template, made)
  return await made
}

async function serverTemplate (): Promise<string> {
  const name = `keel_template_${migrationsHash()}`
  await withServer(async client => {
    // One of several that come at once makes it, and the others wait for it.
    await client.query('SELECT GET_LOCK(?, 120)', [name])
    const [done] = await client.query<object[]>("SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = '_prisma_migrations'", [name])
    if (done !== undefined) return
    await client.query(`CREATE DATABASE IF NOT EXISTS ${name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
    await applyMigrations(databaseUrl(name))
  })
  return name
}

function migrationsHash (): string {
  const folder = join(root, 'prisma/migrations')
  const hash = createHash('sha256')
  for (const name of readdirSync(folder).sort()) {
    const file = join(folder, name, 'migration.sql')
    if (existsSync(file)) hash.update(name).update(readFileSync(file))
  }
  return hash.digest('hex').slice(0, 16)
}

function databaseUrl (name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function withServer (use: (client: mariadb.Connection) => Promise<void>): Promise<void> {
  const client = await mariadb.createConnection(sessionOf(server)).catch((error: Error) => {
    throw new SetUpError(`The tests need a MariaDB or MySQL on which they can make databases of their own, as TEST_DATABASE_URL (or DATABASE_URL): mysql://user:password@host:3306/mysql. ${connectionProblem(error, server) ?? error.message}`)
  })
  try {
    await use(client)
  } finally {
    await client.end()
  }
}

// Run by itself, before the tests, it makes the template, so that test files need not race for it.
if (import.meta.main) {
  try {
    await serverTemplate()
  } catch (error) {
    if (!(error instanceof SetUpError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
}

import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { applyMigrations, connectionProblem } from '../../prisma/migrate.ts'
import { urlProblem } from '../../prisma/mysql/url.ts'
import { server } from '../helpers/template.ts'
import { plainDatabase, rows } from './project.ts'

const root = join(import.meta.dirname, '../..')

/** prisma/migrate.ts of a copy with one more migration. */
async function withMigration (t: Test, name: string, sql: string): Promise<typeof import('../../prisma/migrate.ts')> {
  const folder = mkdtempSync(join(tmpdir(), 'keel-t-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const part of ['migrations', 'mysql', 'migrate.ts']) cpSync(join(root, 'prisma', part), join(folder, 'prisma', part), { recursive: true })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  mkdirSync(join(folder, 'prisma/migrations', name))
  writeFileSync(join(folder, 'prisma/migrations', name, 'migration.sql'), sql)
  return await import(pathToFileURL(join(folder, 'prisma/migrate.ts')).href) as typeof import('../../prisma/migrate.ts')
}

t.test('an empty database gets all migrations, once, though several apply them at the same time', async t => {
  const url = await plainDatabase(t, server)
  const applied = await Promise.all([applyMigrations(url), applyMigrations(url), applyMigrations(url)])
  t.equal(applied.filter(names => names.length > 0).length, 1)
  t.same(await applyMigrations(url), [])
  t.match(await rows(url, 'SELECT finished_at IS NOT NULL AS finished, applied_steps_count AS steps, length(checksum) AS length FROM _prisma_migrations'), [{ finished: 1, steps: 1, length: 64 }])
})

t.test('one that fails is named with what the database said, and blocks what follows until it is settled', async t => {
  const url = await plainDatabase(t, server)
  const { applyMigrations } = await withMigration(t, '30000102000000_bad', 'CREATE TABLE half (a INT);\nCREATE TABLE other (a NONSENSE);\n')
  const failure = { name: 'MigrationError', message: /^The migration 30000102000000_bad failed on the database "keel_test_\w+" at 127\.0\.0\.1:3306\./ }
  await t.rejects(applyMigrations(url), { ...failure, message: /30000102000000_bad failed[^]*The database said: [^]*NONSENSE[^]*migrate resolve/ })
  await t.rejects(applyMigrations(url), failure)
  await rows(url, "UPDATE _prisma_migrations SET rolled_back_at = NOW(3) WHERE migration_name = '30000102000000_bad'")
  await rows(url, 'DROP TABLE half')
  await t.rejects(applyMigrations(url), failure, 'and runs again')
})

t.test('a database with tables of others is left alone', async t => {
  const url = await plainDatabase(t, server)
  await rows(url, 'CREATE TABLE theirs (a INT)')
  await t.rejects(applyMigrations(url), { name: 'MigrationError', message: /has tables but no history of migrations/ })
  t.same(await rows(url, 'SHOW TABLES'), [{ [`Tables_in_${new URL(url).pathname.slice(1)}`]: 'theirs' }])
})

t.test('a URL that can\'t be one says so, and its password never', async t => {
  for (const bad of ['postgresql://u:s3cret@h/x', 'mysql://u:s3cret@h', 'mysql//x', 'mysql://u:s3cret@@h/x/%', 'mysql://u:s3cret@h/x?sslmode=require']) {
    t.match(urlProblem(bad), { code: 'P1013' }, bad)
    await t.rejects(applyMigrations(bad), { name: 'MigrationError', message: /^The database URL/ })
    t.notMatch(urlProblem(bad)?.message, /s3cret/)
  }
  t.equal(urlProblem('mariadb://u:p@h:3307/x?ssl=true&socketPath=/run/x.sock'), undefined)
})

t.test('why there is no connection is said in one line', async t => {
  await t.rejects(applyMigrations('mysql://u:s3cret@127.0.0.1:1/x'), { name: 'MigrationError', message: 'Can\'t reach the database server at 127.0.0.1:1: nothing listens there.' })
  const url = await plainDatabase(t, server)
  const other = new URL(url)
  other.password = 'wrong'
  await t.rejects(applyMigrations(other.href), { message: /refused the password of user "keel_test_/ })
  const none = new URL(server)
  none.pathname = '/keel_none'
  await t.rejects(applyMigrations(none.href), { message: 'The database "keel_none" does not exist at 127.0.0.1:3306.' })
  t.equal(connectionProblem(new Error('anything else'), url), undefined)
})

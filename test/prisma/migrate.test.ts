// The migrations in this process: what is pending, applying it, and what an operator is told.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createEphemeral } from '../../prisma/engine/embedded.ts'
import { openEngine } from '../../prisma/engine/engine.ts'
import { openTarget } from '../../prisma/engine/target.ts'
import { applyMigrations, connectionProblem, migrationStatus } from '../../prisma/migrate.ts'
import { Project, plainDatabase, rows } from './project.ts'

const server = process.env.TEST_DATABASE_URL
const listeners = process.listenerCount('uncaughtException')

t.test('all are pending, are applied once, and none is pending', async (t) => {
  const { url, close } = await createEphemeral()
  t.teardown(close)
  const status = () => migrationStatus(sql => rows(url, sql))
  const { pending, failed } = await status()
  t.match(pending[0], /^\d{14}_init$/)
  t.strictSame(pending, [...pending].sort())
  t.strictSame(failed, [])
  t.strictSame(await applyMigrations(url), pending)
  t.strictSame(await status(), { pending: [], failed: [] })
  t.strictSame(await applyMigrations(url), [])
})

t.test('replicas that start at once apply each migration once', async (t) => {
  const { url, close } = await createEphemeral()
  t.teardown(close)
  const applied = await Promise.all([applyMigrations(url), applyMigrations(url), applyMigrations(url)])
  const names = await rows(url, 'SELECT migration_name FROM _prisma_migrations ORDER BY 1')
  t.strictSame(applied.flat().sort(), names.map(({ migration_name: name }) => name))
})

t.test('a query that fails for another reason is not taken for a missing table', async (t) => {
  await t.rejects(migrationStatus(async sql => {
    if (sql.includes('to_regclass')) return [{ missing: false }]
    throw new Error('permission denied for table _prisma_migrations')
  }), { message: /permission denied/ })
})

t.test('a migration that fails half-way', async (t) => {
  const project = new Project(t)
  // Semicolons within strings and bodies are no ends of statements.
  project.migration('30000101000000_function', "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN n := n * 2; RETURN n; END $$;\nCREATE TABLE semicolons AS SELECT 'a;b' AS text;\n")
  project.migration('30000102000000_bad', 'CREATE TABLE half (a int);\nALTER TABLE half\n  ADD COLUMN b nonsense;\n')
  project.migration('30000103000000_after', 'CREATE TABLE after (a int);\n')
  const { applyMigrations, migrationStatus } = await project.migrate()
  const { url, close } = await createEphemeral()
  t.teardown(close)

  const first = await applyMigrations(url).catch((error: unknown) => error as Error)
  t.match(first, { name: 'MigrationError', message: /^The migration 30000102000000_bad failed on the database "postgres" at .*\nThe database said: ERROR: type "nonsense" does not exist \(SQLSTATE 42704, line 3\)\n/ })
  t.match(first, { message: 'npx prisma migrate resolve --rolled-back 30000102000000_bad' })
  t.match(first, { message: 'npx prisma migrate resolve --applied 30000102000000_bad' })
  t.strictSame(await migrationStatus(sql => rows(url, sql)), { pending: ['30000103000000_after'], failed: ['30000102000000_bad'] })
  t.strictSame(await rows(url, "SELECT twice(4) AS twice, (SELECT text FROM semicolons) AS text, to_regclass('half') AS half"), [{ twice: 8, text: 'a;b', half: null }])
  await t.rejects(applyMigrations(url), { name: 'MigrationError', message: /30000102000000_bad failed/ }, 'nothing is applied until it is settled')

  await rows(url, 'UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL')
  writeFileSync(join(project.path, 'prisma/migrations/30000102000000_bad/migration.sql'), 'CREATE TABLE half (a int);\n')
  t.strictSame(await applyMigrations(url), ['30000102000000_bad', '30000103000000_after'])
})

t.test('a folder without migrations', async (t) => {
  const project = new Project(t)
  rmSync(join(project.path, 'prisma/migrations'), { recursive: true })
  const { migrationStatus } = await project.migrate()
  t.strictSame(await migrationStatus(async () => []), { pending: [], failed: [] })
})

t.test('a panic of the engine is an error, and the next engine works', async (t) => {
  const { url, close } = await createEphemeral()
  t.teardown(close)
  for (const method of ['debugPanic', 'version']) {
    const target = openTarget({ url })
    const engine = await openEngine(target)
    if (method === 'debugPanic') await t.rejects(engine(method, {}), { name: 'EngineFault', panic: true })
    else t.match(await engine(method, { datasource: { tag: 'ConnectionString', url } }), /^PostgreSQL 18/)
    await target.close()
  }
  t.equal(process.listenerCount('uncaughtException'), listeners)
})

t.test('a database with tables of somebody else', async (t) => {
  const { url, close } = await createEphemeral()
  t.teardown(close)
  await rows(url, 'CREATE TABLE strange (a int)')
  await t.rejects(applyMigrations(url), { name: 'MigrationError', message: /has tables but no history of migrations\.\n.*migrate resolve --applied \d{14}_init/ })
})

t.test('what is wrong with a connection is one line without the password', async (t) => {
  const url = 'postgresql://shop:s3cret@db.example:6432/lamps'
  const lines = {
    ECONNREFUSED: 'Can\'t reach the database server at db.example:6432: nothing listens there.',
    ENOTFOUND: 'Can\'t reach the database server at db.example:6432: the host name is unknown.',
    ETIMEDOUT: 'Can\'t reach the database server at db.example:6432: it doesn\'t answer.',
    ECONNRESET: 'The database server at db.example:6432 closed the connection.',
    '28P01': 'The database server at db.example:6432 refused the password of user "shop".',
    28000: 'The database server at db.example:6432 doesn\'t let user "shop" in (role or pg_hba.conf).',
    '3D000': 'The database "lamps" does not exist at db.example:6432.',
    53300: 'The database server at db.example:6432 has no free connection.',
    '57P03': 'The database server at db.example:6432 is starting up or shutting down.'
  }
  for (const [code, line] of Object.entries(lines)) t.equal(connectionProblem(Object.assign(new Error('s3cret'), { code }), url), line)
  t.equal(connectionProblem(new AggregateError([Object.assign(new Error(), { code: 'ECONNREFUSED' })]), url), lines.ECONNREFUSED, 'a host with several addresses')
  t.equal(connectionProblem(new Error('x', { cause: { kind: 'AuthenticationFailed', originalCode: '28P01', originalMessage: 'x' } }), url), lines['28P01'], 'an error of a driver adapter')
  t.equal(connectionProblem(new Error('timeout expired'), url), lines.ETIMEDOUT)
  t.equal(connectionProblem(Object.assign(new Error('duplicate key'), { code: '23505' }), url), undefined)
  for (const text of ['The server does not support SSL connections', 'self-signed certificate in certificate chain', 'error:0A00010B:SSL routines:tls_validate_record_header:wrong version number']) {
    t.match(connectionProblem(new Error(text), url), /^No encrypted connection/, text)
  }
  for (const text of ['The gift certificate 4711 is unknown', 'waited endlessly', 'no SSL in the name of the product']) t.equal(connectionProblem(new Error(text), url), undefined, text)
  t.equal(connectionProblem(new Error('timeout'), undefined as never)?.includes('malformed'), true)
  for (const bad of ['postgres//x', 'mysql://u:s3cret@h/x', 'postgresql://u:s3cret@@h/x/%']) {
    const error = await applyMigrations(bad).catch((error: unknown) => error as Error)
    t.match(error, { name: 'MigrationError' })
    t.notMatch((error as Error).message, /s3cret|\n/)
  }
})

t.test('a server that nobody runs', async (t) => {
  await t.rejects(applyMigrations('postgresql://u:s3cret@127.0.0.1:1/x'), { name: 'MigrationError', message: 'Can\'t reach the database server at 127.0.0.1:1: nothing listens there.' })
})

t.test('a PostgreSQL server', { skip: !server && 'TEST_DATABASE_URL is not set' }, async (t) => {
  const url = await plainDatabase(t, server!)
  const applied = await applyMigrations(url)
  t.ok(applied.length > 0, 'a role without CREATEDB may migrate')
  t.strictSame(await migrationStatus(sql => rows(url, sql)), { pending: [], failed: [] })
  const missing = new URL(url)
  missing.pathname = '/keel_is_not_there'
  await t.rejects(applyMigrations(missing.href), { name: 'MigrationError', message: /^The database "keel_is_not_there" does not exist at / })
})

// The official Prisma CLI without the network: on the embedded database, served by
// another process or by nobody.
import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { embeddedUrl, openEmbedded } from '../../prisma/engine/embedded.ts'
import { OFFLINE, Project, change, client, clientKnows, rows, type Result } from './project.ts'

const migrations = (project: Project) => readdirSync(join(project.path, 'prisma/migrations')).filter(name => /^\d/.test(name))

t.test('on an embedded database that nobody serves', async (t) => {
  const project = new Project(t, OFFLINE)
  const ok = (result: Result, stdout: RegExp) => t.match(result, { code: 0, stdout })

  ok(await project.prisma('migrate', 'deploy'), /All migrations have been successfully applied/)
  t.equal(await embeddedUrl(project.dataDir), undefined, 'the folder is free when the command has ended')
  t.notOk(existsSync(join(project.dataDir, 'owner.json')))
  writeFileSync(join(project.path, 'script.sql'), "INSERT INTO products (id, sku, name, description, price_amount, price_currency, stock) VALUES (gen_random_uuid(), 'A;1', 'Lamp', '', 1, 'EUR', 1); DO $$ BEGIN PERFORM 1; END $$;")
  ok(await project.prisma('db', 'execute', '--file', 'script.sql'), /Script executed successfully/)
  change(project, 'nickname String?')
  ok(await project.prisma('db', 'push'), /Your database is now in sync with your Prisma schema/)
  t.ok(clientKnows(project, 'nickname'), 'db push generates the client')
  ok(await project.prisma('db', 'pull', '--print'), /nickname +String\?/)

  const database = await openEmbedded(project.dataDir)
  t.strictSame(await rows(database.url, 'SELECT sku FROM products'), [{ sku: 'A;1' }])
  await database.close()
})

t.test('beside a process that serves the embedded database', async (t) => {
  const project = new Project(t, OFFLINE)
  const { url, close } = await openEmbedded(project.dataDir)
  t.teardown(close)
  const { applyMigrations } = await project.migrate()
  const applied = await applyMigrations(url)
  const service = await client(t, url)

  change(project, 'nickname String?')
  const dev = await project.prisma('migrate', 'dev', '--name', 'nickname')
  t.match(dev, { code: 0, stdout: /have been created and applied from new schema changes/ })
  const [added, ...more] = migrations(project).filter(name => !applied.includes(name))
  t.match(added, /^\d{14}_nickname$/)
  t.strictSame(more, [])
  t.ok(clientKnows(project, 'nickname'), 'the client is generated')
  t.strictSame((await service.query('SELECT nickname FROM users')).rows, [], 'the service goes on, with the new column')
  t.match(await project.prisma('migrate', 'status'), { code: 0, stdout: /Database schema is up to date!/ })

  // Both at once: the advisory lock puts one after the other.
  project.migration('30000101000000_slow', 'CREATE TABLE slow AS SELECT pg_sleep(0.2)::text AS waited;\n')
  const both = await Promise.all([project.prisma('migrate', 'deploy'), project.prisma('migrate', 'deploy')])
  for (const result of both) t.match(result, { code: 0 })
  t.equal(both.filter(({ stdout }) => stdout.includes('No pending migrations')).length + both.filter(({ stdout }) => stdout.includes('30000101000000_slow')).length, 2)

  project.migration('30000102000000_bad', 'CREATE TABLE half (a int);\nALTER TABLE half ADD COLUMN b nonsense;\n')
  t.match(await project.prisma('migrate', 'deploy'), { code: 1, stderr: /P3018[^]*Migration name: 30000102000000_bad[^]*ERROR: type "nonsense" does not exist \(SQLSTATE 42704, line 2\)/ })
  t.match(await project.prisma('migrate', 'resolve', '--rolled-back', '30000102000000_bad'), { code: 0 })
  t.strictSame((await service.query("SELECT to_regclass('half') AS half")).rows, [{ half: null }])
})

t.test('Studio serves the embedded database while it runs', async (t) => {
  const project = new Project(t, OFFLINE)
  const port = 20_000 + process.pid % 20_000
  const studio = project.start('studio', '--port', String(port))
  t.teardown(() => studio.kill('SIGKILL'))
  let said = ''
  while (!said.includes(`localhost:${port}`)) said += String((await once(studio.stdout, 'data'))[0])
  const answer = await fetch(`http://localhost:${port}/bff`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ procedure: 'query', query: { sql: 'SELECT $1::text AS answer', parameters: ['yes'] } })
  })
  t.strictSame(await answer.json(), [null, [{ answer: 'yes' }]])
  studio.kill('SIGKILL')
  await once(studio, 'exit')
  // However Studio ended, the folder becomes free.
  const database = await openEmbedded(project.dataDir)
  await database.close()
})

t.test('what can\'t be used is told in one line', async (t) => {
  const project = new Project(t, OFFLINE)
  writeFileSync(join(project.path, '.env'), 'DATABASE_URL="mysql://u:s3cret@h/x"\n')
  const malformed = await project.prisma('migrate', 'status')
  t.match(malformed, { code: 1, stderr: /^Error: P1013: The database URL is malformed: .*$/m })
  t.notMatch(malformed.stderr + malformed.stdout, /s3cret/)
  writeFileSync(join(project.path, '.env'), 'DATA_DIR=prisma.config.ts\n')
  t.match(await project.prisma('migrate', 'deploy'), { code: 1, stderr: /^Error: P1001: The data folder .*prisma\.config\.ts is not a folder: set DATA_DIR/m })
})

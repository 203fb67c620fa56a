// A data folder has one owner at a time, and survives its sudden death.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { DataDirError, borrowEmbedded, createEphemeral, embeddedUrl, openEmbedded } from '../../prisma/engine/embedded.ts'
import { client, finished, folder, rows } from './project.ts'

const embedded = join(import.meta.dirname, '../../prisma/engine/embedded.ts')

/** A process that opens a folder and says the URL. */
async function owner (t: Test, dataDir: string) {
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', `
    import { openEmbedded } from ${JSON.stringify(embedded)}
    const { url, close } = await openEmbedded(${JSON.stringify(dataDir)})
    console.log(url)
    process.stdin.on('end', () => close()).resume()
  `], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, KEEL_OWNER_TITLE: 'the test\'s owner' } })
  t.teardown(() => child.kill('SIGKILL'))
  const [url] = await once(createInterface({ input: child.stdout }), 'line') as [string]
  return { url, child }
}

t.test('what was committed is there after kill -9 of the owner', async (t) => {
  const dataDir = folder(t)
  const { url, child } = await owner(t, dataDir)
  const one = await client(t, url)
  await one.query('CREATE TABLE kept (value int); INSERT INTO kept SELECT generate_series(1, 1000)')
  await one.query('BEGIN')
  await one.query('INSERT INTO kept VALUES (0)')
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.equal(await embeddedUrl(dataDir), undefined, 'nobody serves it')
  const again = await openEmbedded(dataDir)
  t.strictSame(await rows(again.url, 'SELECT count(*)::int AS count, min(value) AS min FROM kept'), [{ count: 1000, min: 1 }])
  await again.close()
})

t.test('a second opener is told who has the folder, and may borrow', async (t) => {
  const dataDir = folder(t)
  const { url, child } = await owner(t, dataDir)
  await t.rejects(openEmbedded(dataDir, { waitMs: 0 }), { name: 'DataDirError', held: true, message: new RegExp(`in use by process ${child.pid} \\(the test's owner, since .*\\): stop that process, or set DATA_DIR`) })
  t.equal(await embeddedUrl(dataDir), url)
  const borrowed = await borrowEmbedded(dataDir)
  t.equal(borrowed.url, url)
  await borrowed.close()
  t.strictSame(await rows(url, 'SELECT 1 AS one'), [{ one: 1 }], 'who borrowed it doesn\'t end it')

  const waiting = openEmbedded(dataDir)
  child.stdin.end()
  t.strictSame(await finished(child), { code: 0, stdout: '', stderr: '' }, 'the owner ends by itself once it has closed')
  const next = await waiting
  t.strictSame(await rows(next.url, 'SELECT 1 AS one'), [{ one: 1 }])
  await next.close()
})

t.test('several users in one process share one instance', async (t) => {
  const dataDir = join(folder(t), 'made', 'on demand')
  const opened = await Promise.all([openEmbedded(dataDir), openEmbedded(dataDir), borrowEmbedded(dataDir)])
  t.equal(new Set(opened.map(({ url }) => url)).size, 1)
  await opened[0].close()
  await opened[0].close()
  t.strictSame(await rows(opened[1].url, 'SELECT 1 AS one'), [{ one: 1 }], 'closing twice counts once')
  await opened[2].close()
  await opened[1].close()
  t.equal(await embeddedUrl(dataDir), undefined)
  const reopened = await borrowEmbedded(dataDir)
  t.strictSame(await rows(reopened.url, 'SELECT 1 AS one'), [{ one: 1 }])
  await reopened.close()
})

t.test('a folder whose path is too long for a socket, or has blanks and links', async (t) => {
  const base = folder(t)
  const long = join(base, 'a folder with blanks'.repeat(6))
  mkdirSync(long)
  const link = join(base, 'link')
  symlinkSync(long, link)
  const database = await openEmbedded(link)
  t.teardown(database.close)
  t.strictSame(await rows(database.url, 'SELECT 1 AS one'), [{ one: 1 }])
  t.equal(await embeddedUrl(long), database.url, 'it is one folder by either name')
})

t.test('a folder that can\'t be used is told in one line', async (t) => {
  const base = folder(t)
  const file = join(base, 'file')
  writeFileSync(file, '')
  const cluster = join(base, 'cluster')
  mkdirSync(cluster)
  writeFileSync(join(cluster, 'PG_VERSION'), '15')
  const old = join(base, 'old')
  mkdirSync(join(old, 'postgres'), { recursive: true })
  writeFileSync(join(old, 'postgres/PG_VERSION'), '17\n')
  for (const [path, message] of [[file, /is not a folder: set DATA_DIR/], [join(file, 'below'), /is not a folder/], [cluster, /is itself a PostgreSQL cluster/], [old, /was made by PostgreSQL 17/]] as const) {
    const error = await openEmbedded(path).catch((error: unknown) => error)
    t.ok(error instanceof DataDirError)
    t.match((error as Error).message, message)
    t.notMatch((error as Error).message, /\n/)
    t.match((error as Error).message, path)
  }
})

t.test('a folder that may not be written', async (t) => {
  const base = folder(t)
  chmodSync(base, 0o500)
  t.teardown(() => chmodSync(base, 0o700))
  // Root may write everywhere, but for the file system of processes.
  const closed = process.getuid?.() === 0 ? '/proc/data' : base
  await t.rejects(openEmbedded(closed), { name: 'DataDirError', message: /can't be written \((EACCES|ENOENT)\)/ })
})

t.test('a damaged cluster is an error, and leaves the folder free', async (t) => {
  const dataDir = folder(t)
  mkdirSync(join(dataDir, 'postgres'))
  writeFileSync(join(dataDir, 'postgres/PG_VERSION'), '18\n')
  await t.rejects(openEmbedded(dataDir), { name: 'DataDirError', message: /could not open the data folder/ })
  t.notOk(existsSync(join(dataDir, 'owner.json')))
})

t.test('a database in memory starts from the dump of another', async (t) => {
  const first = await createEphemeral()
  await rows(first.url, 'CREATE TABLE kept AS SELECT 7 AS value')
  const dump = await first.dump()
  await rows(first.url, 'DROP TABLE kept')
  await first.close()
  const second = await createEphemeral({ load: dump })
  t.strictSame(await rows(second.url, 'SELECT value FROM kept'), [{ value: 7 }])
  await second.close()
  await t.rejects(rows(second.url, 'SELECT 1'), { code: 'ENOENT' })
})

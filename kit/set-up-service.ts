// Before `fastify start`: is the configuration right, is the port free, and does the
// database have its migrations and its seed? Whatever is wrong ends here with a message
// for the operator, not with a stack.
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { ConfigError, loadConfig, type Config } from '../plugins/config/index.ts'
import { driver } from '../plugins/jobs/chosen.ts'
import { MigrationError, applyMigrations, connectionProblem, migrationStatus } from '../prisma/migrate.ts'
import { withPrisma } from './prisma.ts'
import { saidAsTheyAre, setUpEmbedded, withQuery } from './set-up-database.ts'
import { SetUpError } from './set-up-error.ts'

const root = join(import.meta.dirname, '..')
/** Finds something once the seed has run. */
const SEEDED = 'SELECT 1 FROM users LIMIT 1'

async function setUp (): Promise<void> {
  const config = loadConfig()
  await checkPort(config, 'PORT')
  await checkPort(config, 'METRICS_PORT')
  if (config.NODE_ENV === 'production') await checkServer(config.DATABASE_URL ?? '')
  else if (config.DATABASE_URL) await setUpServer(config.DATABASE_URL)
  else await setUpEmbedded(config.DATA_DIR, fingerprint(), setUpNew)
}

async function checkPort (config: Config, name: 'PORT' | 'METRICS_PORT'): Promise<void> {
  const { HOST, [name]: port } = config
  if (port === undefined) return
  if (name === 'METRICS_PORT' && port === config.PORT) throw new SetUpError(`METRICS_PORT is PORT, ${port}: give the metrics another one.`)
  const probe = createServer()
  try {
    await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(port, HOST, resolve))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw new SetUpError(`Port ${port} on ${HOST} is in use: stop what listens there, or set ${name}.`)
    throw new SetUpError(`The service cannot listen on ${HOST}, port ${port} (${code}): set HOST and ${name}.`)
  }
  await new Promise(resolve => probe.close(resolve))
}

/** In production nothing is migrated here; a server that is away may come back, but a wrong password stays wrong. */
async function checkServer (url: string): Promise<void> {
  try {
    await withQuery(url, async () => {})
  } catch (error) {
    if ((error as SetUpError).isFinal) throw error
    process.stderr.write(`${connectionProblem(error, url) ?? String(error)} The service starts and is not ready until it answers.\n`)
  }
}

async function setUpServer (url: string): Promise<void> {
  const { pending, failed, seeded, jobs } = await withQuery(url, async query => {
    const status = await migrationStatus(query)
    return { ...status, jobs: await driver.storage.state(query, url), seeded: status.pending.length + status.failed.length === 0 && (await query(SEEDED)).length > 0 }
  })
  if (pending.length > 0 || failed.length > 0) report(await applyMigrations(url))
  if (jobs === 'missing' || jobs === 'old') await applyJobs(url)
  if (!seeded) await seedDatabase(url)
}

async function setUpNew (url: string): Promise<void> {
  report(await applyMigrations(url))
  await applyJobs(url)
  await seedDatabase(url)
}

async function seedDatabase (url: string): Promise<void> {
  const { ADMIN_EMAIL, ADMIN_PASSWORD } = loadConfig()
  const { seed } = await import('../prisma/seed.ts')
  await withPrisma(url, async prisma => await seed(prisma, { adminEmail: ADMIN_EMAIL, adminPassword: ADMIN_PASSWORD }))
}

async function applyJobs (url: string): Promise<void> {
  try {
    if (await driver.storage.apply(url)) process.stderr.write('Applied the tables of the jobs\n')
  } catch (error) {
    throw new SetUpError(`The tables of the jobs could not be made: ${(error as Error).message}`)
  }
}

/** Changes when a migration, the version of the jobs' tables or the seed does. */
function fingerprint (): string {
  const hash = createHash('sha256').update(`jobs ${driver.storage.version()}`)
  for (const name of readdirSync(join(root, 'prisma/migrations')).sort()) hash.update(name)
  return hash.update(readFileSync(join(root, 'prisma/seed.ts'))).digest('hex')
}

function report (applied: string[]): void {
  if (applied.length > 0) process.stderr.write(`Applied ${applied.length === 1 ? 'migration' : 'migrations'} ${applied.join(', ')}\n`)
}

try {
  await setUp()
} catch (error) {
  const expected = [ConfigError, SetUpError, MigrationError, ...saidAsTheyAre].some(kind => error instanceof kind)
  process.stderr.write(`${expected ? (error as Error).message.trimEnd() : String(error instanceof Error ? error.stack : error)}\n`)
  process.exit(1)
}

// Before `fastify start`: is the configuration right, is the port free, and does the
// database have its migrations and its seed? Whatever is wrong ends here with a message
// for the operator, not with a stack.
import { createServer } from 'node:net'
import mariadb from 'mariadb'
import { ConfigError, loadConfig, type Config } from '../plugins/config/index.ts'
import { MigrationError, applyMigrations, connectionProblem, migrationStatus } from '../prisma/migrate.ts'
import { sessionOf } from '../prisma/mysql/session.ts'

/** A wrong password, or a database that does not exist, stays wrong. */
const WRONG = new Set([1044, 1045, 1049, 1698])

/** Something the operator can put right; the message says how. */
class SetUpError extends Error {}

async function setUp (): Promise<void> {
  const config = loadConfig()
  await checkPort(config, 'PORT')
  await checkPort(config, 'METRICS_PORT')
  if (config.NODE_ENV === 'production') await checkServer(config.DATABASE_URL ?? '')
  else if (config.DATABASE_URL) await setUpServer(config.DATABASE_URL, config)
  else throw new SetUpError('DATABASE_URL is not set: this service needs a MariaDB or MySQL, as mysql://user:password@127.0.0.1:3306/database (in the environment or in .env). The database may be empty, but must be there.')
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
    await withClient(url, async () => {})
  } catch (error) {
    if (WRONG.has((error as { errno?: number }).errno ?? 0)) throw error
    process.stderr.write(`${connectionProblem(error, url) ?? String(error)} The service starts and is not ready until it answers.\n`)
  }
}

async function setUpServer (url: string, config: Config): Promise<void> {
  const { pending, failed, seeded } = await withClient(url, async client => {
    const query = async (sql: string) => await client.query<Record<string, unknown>[]>(sql)
    const status = await migrationStatus(query)
    return { ...status, seeded: status.pending.length + status.failed.length === 0 && (await query('SELECT 1 FROM users LIMIT 1')).length > 0 }
  })
  if (pending.length > 0 || failed.length > 0) report(await applyMigrations(url))
  if (!seeded) await seedDatabase(url, config)
}

async function seedDatabase (url: string, { ADMIN_EMAIL, ADMIN_PASSWORD }: Config): Promise<void> {
  // Loaded only when needed: the client and the adapter take a good part of a second.
  const [{ adapterOf }, { Pool }, { PrismaClient }, { seed }] = await Promise.all([
    import('../prisma/mysql/adapter.ts'), import('../prisma/mysql/pool.ts'), import('../prisma/generated/client.ts'), import('../prisma/seed.ts')
  ])
  const prisma = new PrismaClient({ adapter: adapterOf(new Pool(url), url) })
  try {
    await seed(prisma, { adminEmail: ADMIN_EMAIL, adminPassword: ADMIN_PASSWORD })
  } finally {
    await prisma.$disconnect()
  }
}

async function withClient<T> (url: string, use: (client: mariadb.Connection) => Promise<T>): Promise<T> {
  let client: mariadb.Connection | undefined
  try {
    // Reads the file that the URL names, a certificate for example.
    client = await mariadb.createConnection(sessionOf(url))
    return await use(client)
  } catch (error) {
    const { errno, message } = error as { errno?: number, message: string }
    throw Object.assign(new SetUpError(connectionProblem(error, url) ?? `The database cannot be used: ${message}`), { errno })
  } finally {
    await client?.end().catch(() => {})
  }
}

function report (applied: string[]): void {
  if (applied.length > 0) process.stderr.write(`Applied ${applied.length === 1 ? 'migration' : 'migrations'} ${applied.join(', ')}\n`)
}

try {
  await setUp()
} catch (error) {
  const expected = error instanceof ConfigError || error instanceof SetUpError || error instanceof MigrationError
  process.stderr.write(`${expected ? error.message.trimEnd() : String(error instanceof Error ? error.stack : error)}\n`)
  process.exit(1)
}

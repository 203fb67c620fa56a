import t from 'tap'
import { bearer, buildApp } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'

const METRICS_TOKEN = 'a-token-for-metrics'

t.test('live and ready answer anyone with a bare status', async (t) => {
  const app = await buildApp(t)
  for (const url of ['/health/live', '/health/ready']) {
    const response = await app.inject(url)
    t.equal(response.statusCode, 200)
    t.same(response.json(), { status: 'ok' })
    t.equal(response.headers['cache-control'], 'no-store')
  }
})

t.test('the holder of the metrics token sees each check', async (t) => {
  const app = await buildApp(t, { METRICS_TOKEN })
  const response = await app.inject({ url: '/health/ready', headers: bearer(METRICS_TOKEN) })
  t.same(response.json(), { status: 'ok', checks: { database: { status: 'ok' }, migrations: { status: 'ok' }, jobs: { status: 'ok' }, shutdown: { status: 'ok' } } })
  t.notOk((await app.inject({ url: '/health/ready', headers: bearer('a-token-for-nothing') })).json().checks)
})

t.test('a check that fails, throws or hangs makes the service not ready', async (t) => {
  const checks: Record<string, () => Promise<{ ok: boolean, detail?: string }>> = {
    fails: async () => ({ ok: false, detail: 'broken' }),
    throws: async () => { throw new Error('exploded') },
    hangs: () => new Promise(() => {})
  }
  const details: Record<string, RegExp> = { fails: /broken/, throws: /exploded/, hangs: /no answer within 2000 ms/ }
  for (const [name, check] of Object.entries(checks)) {
    const app = await buildApp(t, { METRICS_TOKEN }, app => app.addHealthCheck(name, check))
    const response = await app.inject({ url: '/health/ready', headers: bearer(METRICS_TOKEN) })
    t.equal(response.statusCode, 503)
    t.equal(response.json().status, 'unavailable')
    t.match(response.json().checks[name], { status: 'unavailable', detail: details[name] })
    t.same((await app.inject('/health/ready')).json(), { status: 'unavailable' }, 'others learn nothing more')
    t.equal((await app.inject('/health/live')).statusCode, 200, 'and the process is alive')
  }
})

t.test('a migration that the database lacks is named', async (t) => {
  const app = await buildApp(t, { METRICS_TOKEN })
  const rows = await app.prisma.$queryRaw<{ migration_name: string }[]>`SELECT migration_name FROM _prisma_migrations ORDER BY migration_name`
  const last = rows.at(-1)?.migration_name ?? ''
  await app.prisma.$executeRaw`UPDATE _prisma_migrations SET migration_name = 'x' WHERE migration_name = ${last}`
  t.teardown(() => app.prisma.$executeRaw`UPDATE _prisma_migrations SET migration_name = ${last} WHERE migration_name = 'x'`)
  const response = await app.inject({ url: '/health/ready', headers: bearer(METRICS_TOKEN) })
  t.equal(response.statusCode, 503)
  t.match(response.json().checks.migrations.detail, new RegExp(`${last} is pending: run npm run db:migrate`))
  await app.prisma.$executeRaw`UPDATE _prisma_migrations SET migration_name = ${last} WHERE migration_name = 'x'`
})

t.test('a database that is away makes the service not ready, without its address for strangers', async (t) => {
  const app = await buildApp(t, { METRICS_TOKEN, DATABASE_URL: 'postgresql://user:hunter2@127.0.0.1:1/none' })
  const response = await app.inject({ url: '/health/ready', headers: bearer(METRICS_TOKEN) })
  t.equal(response.statusCode, 503)
  t.equal(response.json().checks.database.status, 'unavailable')
  t.notMatch(response.body, /hunter2/)
  t.equal((await app.inject('/products')).statusCode, 503, 'and what needs it answers 503')
})

t.test('a service whose connections are all in use is busy, and ready', { skip: !process.env.TEST_DATABASE_URL && 'TEST_DATABASE_URL is not set' }, async (t) => {
  const app = await buildApp(t, { DATABASE_POOL_MAX: 1 })
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
  const held = app.prisma.$transaction(async () => { begin(); await released })
  await begun
  const waiting = app.prisma.$queryRaw`SELECT 1`.then(() => {})
  await until(() => app.databasePool.waitingCount === 1)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  release()
  await Promise.all([held, waiting])
})

t.test('probes that come together are answered by one look', async (t) => {
  let looks = 0
  const app = await buildApp(t, {}, app => app.addHealthCheck('counted', async () => { looks++; return { ok: true } }))
  const responses = await Promise.all(Array.from({ length: 20 }, () => app.inject('/health/ready')))
  t.same(new Set(responses.map(({ statusCode }) => statusCode)), new Set([200]))
  t.ok(looks < 20)
  const before = looks
  await app.inject('/health/ready')
  t.equal(looks, before + 1, 'and the next by another')
})

import t from 'tap'
import { firstProduct } from '../helpers/first-product.ts'
import { issuerKey, startSecureIssuer, withOpenssl } from '../helpers/issuer.ts'
import { until } from '../helpers/until.ts'
import { newPrivateKey } from '../helpers/keys.ts'
import { answers, besides, call, copyOfCheckout, freePort, run, startService } from '../helpers/process.ts'
import { plainDatabase, rows } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
const options = { skip: server === '' && 'TEST_DATABASE_URL is not set' }

t.test('npm start on a PostgreSQL server, as a role that may not create databases', options, async (t) => {
  const folder = copyOfCheckout(t)
  const DATABASE_URL = await plainDatabase(t, server)

  const first = await startService(t, folder, { DATABASE_URL })
  t.match(first.output(), /Applied migration/)
  await firstProduct(t, first)

  await rows(server, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${new URL(DATABASE_URL).pathname.slice(1)}'`)
  const statuses = new Set<number>()
  for (let i = 0; i < 20; i++) statuses.add((await call(`${first.url}/products`)).status)
  t.ok([...statuses].every(status => status === 200 || status === 503), `lost connections: ${[...statuses].join()}`)
  t.equal((await call(`${first.url}/products`)).status, 200, 'it recovers by itself')
  t.equal((await first.stop()).code, 0)

  const second = await startService(t, folder, { DATABASE_URL })
  t.notMatch(second.output(), /Applied/)
  t.equal((await second.stop()).code, 0)

  await rows(DATABASE_URL, 'UPDATE _prisma_migrations SET finished_at = NULL')
  const failed = await run(folder, 'npm', ['start', '--silent'], { DATABASE_URL, PORT: String(await freePort()) })
  t.equal(failed.code, 1)
  t.match(failed.output, /failed[^]*migrate resolve/)
  t.notMatch(failed.output, /\n +at /)
})

t.test('a failed first migration is told before anything else', options, async (t) => {
  const folder = copyOfCheckout(t)
  const DATABASE_URL = await plainDatabase(t, server)
  await rows(DATABASE_URL, `CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz, migration_name varchar(255) NOT NULL,
    logs text, rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0)`)
  await rows(DATABASE_URL, "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('1', 'x', '20261125093616_init')")
  const { code, output } = await run(folder, 'npm', ['start', '--silent'], { DATABASE_URL, PORT: String(await freePort()) })
  t.equal(code, 1)
  t.match(output, /20261125093616_init[^]*migrate resolve/)
  t.notMatch(output, /\n +at /)
})

t.test('production starts on a database without migrations, and is not ready until they are there', options, async (t) => {
  const folder = copyOfCheckout(t)
  const DATABASE_URL = await plainDatabase(t, server)
  const JWT_PRIVATE_KEY = newPrivateKey()
  const env = { NODE_ENV: 'production', HOST: '127.0.0.1', DATABASE_URL, JWT_PRIVATE_KEY, METRICS_TOKEN: 'a-token-for-metrics', ...besides }

  const service = await startService(t, folder, env, 503)
  t.same((await call(`${service.url}/health/ready`)).body, { status: 'unavailable' })
  t.match((await call(`${service.url}/health/ready`, { token: env.METRICS_TOKEN })).body.checks.migrations.detail, /_init is pending/)
  t.equal((await call(`${service.url}/health/live`)).status, 200)
  t.match(service.output(), /_init is pending/, 'the log names them, too')
  t.equal((await call(`${service.url}/docs/`)).status, 404)

  t.equal((await run(folder, 'npm', ['run', 'db:migrate'], env)).code, 0)
  t.ok(await until(() => answers(`${service.url}/health/ready`, 200)), 'ready, once the jobs have noticed, too')
  t.notMatch(service.output(), /:keel@|PRIVATE KEY/, 'no secret is logged')
  t.equal((await service.stop()).code, 0)
})

t.test('production takes the tokens of another issuer by https', options.skip ? options : withOpenssl, async (t) => {
  const folder = copyOfCheckout(t)
  const key = issuerKey('one')
  const { settings } = await startSecureIssuer(t, key)
  const env = { NODE_ENV: 'production', HOST: '127.0.0.1', DATABASE_URL: await plainDatabase(t, server), ...settings, ...besides }
  t.equal((await run(folder, 'npm', ['run', 'db:migrate'], env)).code, 0)
  const { url } = await startService(t, folder, env)
  const ask = async (method: string, body?: object) => await call(`${url}/users/me`, { token: key.sign(), method, body })
  t.equal((await ask('GET')).body.code, 'NOT_FOUND')
  t.equal((await ask('PUT', { email: 'ada@example.com', name: 'Ada' })).status, 201)
  t.equal((await ask('GET')).body.email, 'ada@example.com')
  t.equal((await call(`${url}/users/me`, { token: issuerKey('one').sign() })).status, 401)
})

t.test('what is wrong with the database is said in one line', options, async (t) => {
  const folder = copyOfCheckout(t)
  const missing = new URL(server)
  missing.pathname = '/keel_no_such_database'
  const stranger = new URL(server)
  stranger.username = 'keel_no_such_role'
  const cases: [URL, RegExp][] = [[missing, /keel_no_such_database.* does not exist/], [stranger, /keel_no_such_role/], [new URL(`${server}?sslrootcert=/nowhere`), /The database cannot be used|no such/]]
  for (const [url, said] of cases) {
    const { code, output } = await run(folder, 'npm', ['start', '--silent'], { DATABASE_URL: url.href, PORT: String(await freePort()) })
    t.equal(code, 1)
    t.match(output, said)
    t.notMatch(output, /\n +at /)
  }
})

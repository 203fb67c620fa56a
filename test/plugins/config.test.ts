import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type ConfigError, loadConfig } from '../../plugins/config/index.ts'
import { readers } from '../../plugins/config/values.ts'
import { problemsOf, production } from '../helpers/config.ts'

t.test('an empty environment gives the defaults of development', async (t) => {
  const config = loadConfig({})
  t.match(config, { NODE_ENV: 'development', HOST: '127.0.0.1', PORT: 3000, DATA_DIR: '.data', BODY_LIMIT: 1048576, ACCESS_TOKEN_TTL: 900_000 })
})

t.test('production listens on all addresses and hides the docs', async (t) => {
  t.match(loadConfig(production), { HOST: '0.0.0.0', DOCS: 'off', RATE_LIMIT_MAX: 1000 })
})

t.test('production has no fallback for secrets and database: all that is missing is named', async (t) => {
  const problems = problemsOf({ NODE_ENV: 'production' })
  t.equal(problems.length, 2)
  t.match(problems.join('\n'), /DATABASE_URL: must be set in production, or DATABASE_URL_FILE/)
  t.match(problems.join('\n'), /JWT_PRIVATE_KEY: must be set in production, or JWT_PRIVATE_KEY_FILE .*, or JWT_JWKS_URL in its place/)
  t.notMatch(problems.join('\n'), /outside production/, 'what holds elsewhere is of no use here')
})

t.test('production does not take a secret that is printed in the README', async (t) => {
  const ADMIN_PASSWORD = 'keel-development'
  t.match(problemsOf({ ...production, ADMIN_PASSWORD }), [/^ADMIN_PASSWORD: is the default of development/])
  t.match(problemsOf({ ...production, ADMIN_PASSWORD_FILE: secretFile(t, ADMIN_PASSWORD) }), [/^ADMIN_PASSWORD: is the default of development/])
  t.equal(loadConfig({ ADMIN_PASSWORD }).ADMIN_PASSWORD, ADMIN_PASSWORD, 'elsewhere it is fine')
})

t.test('tokens are our own or another issuer\'s: production needs one of the two', async (t) => {
  const { JWT_PRIVATE_KEY, ...rest } = production
  const JWT_JWKS_URL = 'https://issuer.example/jwks.json'
  t.match(loadConfig({ ...rest, JWT_JWKS_URL }), { JWT_JWKS_URL, JWT_PRIVATE_KEY: undefined })
  t.match(problemsOf({ ...production, JWT_JWKS_URL }), [/^JWT_PRIVATE_KEY: is set beside JWT_JWKS_URL/])
  t.match(problemsOf({ JWT_PRIVATE_KEY, JWT_JWKS_URL }), [/^JWT_PRIVATE_KEY: is set beside JWT_JWKS_URL/])
})

t.test('keys of another issuer come by https, in development also from this machine', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '[::1]']) {
    const JWT_JWKS_URL = `http://${host}:4000/jwks.json`
    t.match(loadConfig({ JWT_JWKS_URL }), { JWT_JWKS_URL })
    t.match(problemsOf({ NODE_ENV: 'production', DATABASE_URL: production.DATABASE_URL, JWT_JWKS_URL }), [/^JWT_JWKS_URL: expected https/])
  }
})

t.test('production has no default admin', async (t) => {
  const { ADMIN_EMAIL, ADMIN_PASSWORD } = loadConfig(production)
  t.same([ADMIN_EMAIL, ADMIN_PASSWORD], [undefined, undefined])
})

t.test('all problems are listed in one error without a stack', async (t) => {
  const problems = problemsOf({ PORT: 'abc', JWT_ISSUER: '', LOG_LEVEL: 'loud', ACCESS_TOKEN_TTL: '15' })
  t.equal(problems.length, 4)
  const error = t.throws(() => loadConfig({ PORT: 'abc' })) as unknown as ConfigError
  t.notMatch(String(error.stack), /\n +at /)
})

const bad: [name: string, value: string][] = [
  ['PORT', '-1'], ['PORT', '65536'], ['PORT', '80.5'], ['PORT', '0x50'],
  ['BODY_LIMIT', '11MiB'], ['BODY_LIMIT', '1MB'],
  ['ACCESS_TOKEN_TTL', '15 minutes'], ['REFRESH_TOKEN_TTL', '0s'], ['RATE_LIMIT_WINDOW', '-1s'],
  ['ALLOWED_ORIGINS', '*'], ['ALLOWED_ORIGINS', 'https://a.example/path'], ['ALLOWED_ORIGINS', 'null'], ['ALLOWED_ORIGINS', 'ftp://a.example'],
  ['REDIS_URL', 'redis://127.0.0.1/notanumber'], ['REDIS_URL', 'redis://user:50%@127.0.0.1'],
  ['TRUST_PROXY', 'true'], ['TRUST_PROXY', '10.0.0.0/33'], ['TRUST_PROXY', '10.0.0'],
  ['DATABASE_URL', 'mysql://db/app'], ['DATABASE_URL', 'localhost:5432'],
  ['JWT_JWKS_URL', 'issuer.example'], ['JWT_JWKS_URL', 'http://issuer.example/jwks'], ['JWT_JWKS_URL', 'http://localhost.evil.example/'], ['JWT_JWKS_URL', 'https://user:secret@issuer.example/'], ['JWT_JWKS_URL', 'file:///etc/passwd'],
  ['REFRESH_GRACE', '2m'], ['LOGIN_FAILURES_MAX', '0'], ['LOGIN_FAILURES_WINDOW', '1d'],
  ['JWT_PRIVATE_KEY', 'secret'], ['JWT_PRIVATE_KEY', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----'],
  ['EVENTS_RETENTION', '30'], ['EVENTS_RETENTION', '500ms'], ['EVENTS_RETENTION', '400d'],
  ['SMTP_URL', 'mail.example'], ['SMTP_URL', 'http://mail.example'], ['MAIL_FROM', 'nobody'],
  ['ADMIN_EMAIL', 'admin'], ['ADMIN_PASSWORD', 'short'], ['METRICS_TOKEN', 'short'], ['DOCS', 'yes'], ['ROLE', 'cron'], ['NODE_ENV', 'staging']
]
for (const [name, value] of bad) {
  t.test(`${name}=${value.slice(0, 30).replaceAll('\n', ' ')} is refused by name`, async (t) => {
    t.match(problemsOf({ [name]: value }), [new RegExp(`^${name}: `)])
  })
}

t.test('the value of a secret is never in the message', async (t) => {
  t.notMatch(problemsOf({ DATABASE_URL: 'mysql://user:hunter2@db/app', ADMIN_PASSWORD: 'hunter2' }).join(), /hunter2/)
})

t.test('lists take several values', async (t) => {
  const { ALLOWED_ORIGINS, TRUST_PROXY } = loadConfig({ ALLOWED_ORIGINS: 'https://a.example, http://localhost:5173', TRUST_PROXY: '10.0.0.0/8,::1' })
  t.same(ALLOWED_ORIGINS, ['https://a.example', 'http://localhost:5173'])
  t.same(TRUST_PROXY, ['10.0.0.0/8', '::1'])
})

t.test('a secret is read from the file that NAME_FILE names', async (t) => {
  const file = secretFile(t, 'a-long-enough-password\n')
  t.equal(loadConfig({ ADMIN_PASSWORD_FILE: file }).ADMIN_PASSWORD, 'a-long-enough-password')
})

t.test('a secret given twice, in a missing file or in an empty one is refused', async (t) => {
  t.match(problemsOf({ ADMIN_PASSWORD: 'a-long-enough-password', ADMIN_PASSWORD_FILE: secretFile(t, 'x') }), [/is set twice/])
  t.match(problemsOf({ ADMIN_PASSWORD_FILE: '/nowhere' }), [/cannot be read \(ENOENT\)/])
  t.match(problemsOf({ ADMIN_PASSWORD_FILE: secretFile(t, ' \n') }), [/empty file/])
})

t.test('keys may come on one line, and several for rotation', async (t) => {
  const pem = production.JWT_PRIVATE_KEY
  const oneLine = pem.replaceAll('\n', '\\n')
  t.equal(loadConfig({ JWT_PRIVATE_KEY: oneLine }).JWT_PRIVATE_KEY, pem)
  t.ok(loadConfig({ JWT_PRIVATE_KEY: pem + pem }))
})

t.test('a key of a weak or unusual kind is refused', async (t) => {
  const rsa = String(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ format: 'pem', type: 'pkcs8' }))
  t.match(problemsOf({ JWT_PRIVATE_KEY: rsa }), [/expected Ed25519 or P-256/])
})

t.test('a text may have a form, and says which', async (t) => {
  const form = { pattern: '^[a-z]+$', expected: 'lower case letters' }
  t.equal(readers.text!('abc', form), 'abc')
  t.throws(() => readers.text!('ABC', form), { message: 'expected lower case letters' })
})

t.test('.env gives what the environment lacks', async (t) => {
  const folder = t.testdir({ '.env': 'PORT=4000\nLOG_LEVEL=warn\n' })
  const before = process.cwd()
  process.chdir(folder)
  t.teardown(() => process.chdir(before))
  process.env.LOG_LEVEL = 'error'
  t.teardown(() => { delete process.env.LOG_LEVEL })
  t.match(loadConfig(), { PORT: 4000, LOG_LEVEL: 'error' })
})

function secretFile (t: Test, content: string): string {
  const file = join(t.testdir(), 'secret')
  writeFileSync(file, content)
  return file
}

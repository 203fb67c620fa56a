// The image without Docker: the Dockerfile's steps in clean folders, then what is made of it.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildImage, toolsOf } from '../helpers/dockerfile.ts'
import { newPrivateKey } from '../helpers/keys.ts'
import { alone, answers, besides, call, freePort } from '../helpers/process.ts'
import { plainDatabase } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
const root = join(import.meta.dirname, '../..')
/** Node is given the right to read and to use the network: no file is written, wherever it is. */
const NO_WRITES = '--permission --allow-fs-read=* --allow-net --allow-worker --no-warnings'

// Two installs by npm are among its steps.
t.setTimeout(900_000)

t.test('the image', { skip: server === '' && 'TEST_DATABASE_URL is not set' }, async (t) => {
  const DATABASE_URL = await plainDatabase(t, server)
  const image = await buildImage(t)
  const [uid, gid] = image.user.split(':').map(Number)
  const inImage = (file: string) => existsSync(join(image.folder, file))

  /** A container's process: the image's environment and user, its WORKDIR, and nothing to write to. */
  const start = (command: string[], env: Record<string, string> = {}) => {
    const [file = '', ...args] = command
    const identity = process.getuid?.() === 0 ? { uid, gid } : {}
    const { PATH } = toolsOf(image.bin)
    const environment = { PATH: String(PATH), HOME: '/nowhere', ...image.env, DATABASE_URL, ...besides, ...env }
    const child = spawn(...alone(file, args, environment), { cwd: image.folder, stdio: ['ignore', 'pipe', 'pipe'], ...identity })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => { output += String(chunk) })
    const ended = new Promise<number | null>(resolve => child.once('close', resolve))
    t.teardown(() => child.kill('SIGKILL'))
    return { child, ended, output: () => output }
  }
  const run = async (command: string[], env?: Record<string, string>) => {
    const { ended, output } = start(command, env)
    return { code: await ended, output: output() }
  }
  const serve = async (command: string[], env: Record<string, string>) => {
    const port = String(await freePort())
    const service = start(command, { ...secrets, PORT: port, NODE_OPTIONS: NO_WRITES, ...env })
    const url = `http://127.0.0.1:${port}`
    while (!await answers(`${url}/health/live`, 200)) {
      if (service.child.exitCode !== null) throw new Error(`${command.join(' ')} ended:\n${service.output()}`)
      await sleep(50)
    }
    return { ...service, url, port }
  }
  const key = join(image.bin, '../key.pem')
  writeFileSync(key, newPrivateKey(), { mode: 0o644 })
  const secrets = { JWT_PRIVATE_KEY_FILE: key, METRICS_TOKEN: 'a-token-for-metrics' }

  await t.test('is of the Node that package.json pins, and carries no second one, nor npm', async (t) => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
    t.equal(image.base, `node:${dependencies.node}-slim`)
    t.notOk(inImage('node_modules/node/bin/node'))
    t.match(image.skipped, [/^rm -rf \/usr\/local\/lib\/node_modules /], 'the one step that could not be carried out here takes npm away')
    t.same((await run(['kit/node', '-p', 'process.versions.node'])).output.trim(), dependencies.node)
  })

  await t.test('has no development dependency, no test, no secret', async (t) => {
    const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { devDependencies: Record<string, string> }
    // Of these the service has others' copies: fastify's ajv, for one.
    const shared = Object.keys(devDependencies).filter(name => inImage(`node_modules/${name}`))
    const installed = (JSON.parse(readFileSync(join(image.folder, 'node_modules/.package-lock.json'), 'utf8')) as { packages: Record<string, { dev?: boolean, devOptional?: boolean }> }).packages
    t.same(shared.filter(name => installed[`node_modules/${name}`]?.dev || installed[`node_modules/${name}`]?.devOptional), [])
    t.notOk(inImage('node_modules/prisma'))
    t.same(readdirSync(image.folder).sort(), ['.npmrc', 'app.ts', 'jobs', 'kit', 'node_modules', 'package-lock.json', 'package.json', 'plugins', 'prisma', 'prisma.config.ts', 'routes', 'server', 'server.ts', 'services'])
  })

  await t.test('is not root, and does not start without its secrets', async (t) => {
    t.match(image.user, /^[1-9]\d*:[1-9]\d*$/)
    const { code, output } = await run(image.command, { DATABASE_URL: '' })
    t.equal(code, 1)
    t.match(output, /DATABASE_URL: must be set[^]*JWT_PRIVATE_KEY: must be set/)
  })

  await t.test('starts on a database without migrations, and is ready when its migration command has run', async (t) => {
    const { url, child, ended, port, output } = await serve(image.command, { ROLE: 'web' })
    t.equal((await call(`${url}/health/ready`)).status, 503)
    t.equal((await run(image.healthcheck, { PORT: port })).code, 0, 'it is healthy: a restart would not help')

    const migrated = await run(['kit/migrate'])
    t.equal(migrated.code, 0, migrated.output)
    t.match(migrated.output, /Applied \d+_init.*\n.*jobs have been made/)
    t.match((await run(['kit/migrate'])).output, /No migration is pending\.\n.*up to date/)
    const { status, body } = await call(`${url}/health/ready`, { token: secrets.METRICS_TOKEN })
    t.equal(status, 200, JSON.stringify(body))
    t.equal((await run(['kit/node', 'kit/health.ts', 'ready'], { PORT: port })).code, 0)
    t.same((await call(`${url}/products`)).body.items, [])

    child.kill('SIGTERM')
    t.equal(await ended, 0, output())
    t.equal((await run(image.healthcheck, { PORT: port })).code, 1, 'what has ended is not healthy')
  })

  await t.test('seeds the first admin, who signs in', async (t) => {
    const admin = { email: 'root@example.com', password: 'a long enough password' }
    const seeded = await run(['kit/node', 'prisma/seed.ts'], { ...secrets, ADMIN_EMAIL: admin.email, ADMIN_PASSWORD: admin.password })
    t.equal(seeded.code, 0, seeded.output)
    const { url, child, ended } = await serve(image.command, { ROLE: 'all' })
    t.equal((await call(`${url}/auth/login`, { body: admin })).status, 200)
    child.kill('SIGTERM')
    t.equal(await ended, 0)
  })

  await t.test('works as a worker by npm run start:prod, without routes', async (t) => {
    const { url, child, ended, output } = await serve(['npm', 'run', '--silent', 'start:prod'], { ROLE: 'worker', NODE_OPTIONS: '' })
    // Its worker connects meanwhile.
    while (!await answers(`${url}/health/ready`, 200)) await sleep(50)
    t.equal((await call(`${url}/products`)).status, 404)
    child.kill('SIGTERM')
    t.equal(await ended, 0, output())
  })
})

// Brings a checkout to where its commands can run: installs what package-lock.json
// says when node_modules lacks it, generates the Prisma client when the schema changed
// and, with --service, sees to the configuration and the database. It is plain
// JavaScript because on a fresh clone the host's Node runs it: the pinned one is not there yet.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const pinnedNode = join(root, 'node_modules/.bin/node')
const prismaCli = join(root, 'node_modules/prisma/build/index.js')

install()
generate()
if (process.argv.includes('--service')) await setUpService()

function install () {
  if (isInstalled()) return
  say('Installing dependencies (npm ci) …')
  const npm = process.env.npm_execpath
  const [command, args] = npm ? [process.execPath, [npm]] : ['npm', []]
  run(command, [...args, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], 'The dependencies could not be installed: see above, then run npm ci.')
  if (!existsSync(pinnedNode)) fail('npm ci did not install the pinned Node (package "node"): are install scripts switched off?')
}

/** Whether node_modules holds what package-lock.json says, by npm's own record of it. */
function isInstalled () {
  try {
    const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
    const present = JSON.parse(readFileSync(join(root, 'node_modules/.package-lock.json'), 'utf8')).packages
    const production = process.env.NODE_ENV === 'production'
    return existsSync(pinnedNode) && Object.entries(wanted).every(([path, { version, optional, dev, devOptional }]) =>
      path === '' || (present[path]
        ? present[path].version === version && (present[path].optional || existsSync(join(root, path)))
        : optional || (production && (dev || devOptional))))
  } catch {
    return false
  }
}

function generate () {
  const schema = readFileSync(join(root, 'prisma/schema.prisma'), 'utf8')
  const client = join(root, 'prisma/generated/internal/class.ts')
  // The generated client holds the schema it was made from.
  if (existsSync(client) && readFileSync(client, 'utf8').includes(JSON.stringify(schema))) return
  if (!existsSync(prismaCli)) fail('prisma/generated is missing or older than prisma/schema.prisma: run npx prisma generate where the development dependencies are installed.')
  run(pinnedNode, [prismaCli, 'generate'], 'The Prisma client could not be generated.', true)
}

async function setUpService () {
  const script = join(import.meta.dirname, 'set-up-service.ts')
  const pinned = JSON.parse(readFileSync(join(root, 'node_modules/node/package.json'), 'utf8')).version
  if (process.versions.node === pinned) await import(script)
  else run(pinnedNode, [script])
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {string} [message] said when it fails
 * @param {boolean} [quiet] show its output only when it fails
 */
function run (command, args, message, quiet = false) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, stdio: quiet ? 'pipe' : 'inherit', encoding: 'utf8' })
  if (status === 0) return
  if (quiet) process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
  fail(error ? `${command} could not be started: ${error.message}` : message, status)
}

/**
 * @param {string} [message]
 * @param {number | null} [status]
 * @returns {never}
 */
function fail (message, status = 1) {
  if (message) process.stderr.write(`${message}\n`)
  process.exit(status ?? 1)
}

/** @param {string} message */
function say (message) {
  process.stderr.write(`${message}\n`)
}

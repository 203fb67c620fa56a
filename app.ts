import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import autoload from '@fastify/autoload'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { loadConfig, type Config } from './plugins/config/index.ts'
import { problems } from './routes/problems.ts'
import { tags } from './routes/tags.ts'
import { serverOptions } from './server.ts'
import { onEvents } from './services/database.ts'
import { allScopes } from './services/scopes.ts'

const root = import.meta.dirname
const { version, description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string, description: string }

/** What a process has that serves no clients: how it is, and what its own answers refer to. */
const OF_WORKERS = /\/(?:health|metrics|problems)(?:\.ts|\/)/

/** What the plugins are told of this service. */
const service = {
  problems,
  tags,
  onEvents,
  scopes: allScopes,
  info: { title: 'Keel', version, description, license: { name: 'MIT', identifier: 'MIT' }, contact: { name: 'The maintainers', url: 'https://example.com/keel' } }
}

/**
 * The service: the kit's concerns, then its own endpoints, then the jobs and the routes. `fastify start` takes it
 * from here, with `options` for the server.
 */
async function app (fastify: FastifyInstance, { config }: { config?: Config }) {
  const dir = join(root, 'plugins')
  let closed = false
  // A route that came before the guard and the limits would go without them.
  fastify.addHook('onRoute', ({ method, url }) => {
    if (!closed && method !== 'OPTIONS') throw new Error(`${String(method)} ${url}: plugins with routes belong in plugins/endpoints`)
  })
  // What lies deeper belongs to a plugin.
  await fastify.register(autoload, { dir, maxDepth: 1, ignoreFilter: /\/endpoints\//, options: { ...service, config } })
  closed = true
  const isWorker = fastify.config.ROLE === 'worker'
  await fastify.register(autoload, { dir: join(dir, 'endpoints'), ...isWorker ? { matchFilter: OF_WORKERS } : {}, options: { ...service, config } })
  // Also where they are only sent: the sender checks against their schemas.
  await fastify.register(autoload, { dir: join(root, 'jobs') })
  if (isWorker) return
  await fastify.register(autoload, { dir: join(root, 'routes'), matchFilter: /\/index\.ts$/ })
}

// Not encapsulated: whoever registers the service (the CLI, a test) sees its decorators.
export default fp(app, { name: 'app' })

export const options = serverOptions(loadConfig())

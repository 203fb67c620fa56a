import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { loadConfig } from './load.ts'
import type { Config } from './schema.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The settings, read once at start and frozen. */
    config: Readonly<Config>
  }
}

export interface ConfigOptions {
  /** Settings already read; without them the environment is. */
  config?: Config
}

async function config (fastify: FastifyInstance, options: ConfigOptions) {
  fastify.decorate('config', Object.freeze({ ...options.config ?? loadConfig() }))
}

export { ConfigError, loadConfig } from './load.ts'
export { readPrivateKeys } from './values.ts'
export type { Config } from './schema.ts'
export default fp(config, { name: 'config' })

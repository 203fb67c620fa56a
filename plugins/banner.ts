import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { settings } from './config/load.ts'
import type { Config } from './config/index.ts'

/** Says, once the service listens, how it is set up and where to begin; Fastify itself says the address. */
async function banner (fastify: FastifyInstance) {
  const { config, log } = fastify
  fastify.addHook('onListen', async () => {
    const address = fastify.server.address()
    const port = typeof address === 'object' && address !== null ? address.port : config.PORT
    const host = config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST
    const url = `http://${host}:${port}`
    log.info({ config: shown(config) }, 'configuration')
    if (config.DOCS === 'on' && config.ROLE !== 'worker') log.info(`API reference: ${url}/docs`)
    if (fastify.hasRoute({ method: 'GET', url: '/console' })) log.info(`Console: ${url}/console`)
    if (config.NODE_ENV === 'development') log.info(`Development admin: ${config.ADMIN_EMAIL} (its password is ADMIN_PASSWORD, see .env.example)`)
  })
}

/** The settings as they count. Of a secret, and of a password in a URL, that it is there. */
function shown (config: Readonly<Config>): Record<string, unknown> {
  const entries = settings.flatMap(([name, { secret }]) => {
    const value = config[name]
    if (value === undefined || (Array.isArray(value) && value.length === 0)) return []
    if (secret) return [[name, '[set]']]
    return [[name, typeof value === 'string' ? value.replace(/\/\/[^/?#]*@/, '//[set]@') : value]]
  })
  return Object.fromEntries(entries) as Record<string, unknown>
}

export default fp(banner, { name: 'banner', dependencies: ['config'] })

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Says, once the service listens, where to begin; Fastify itself says the address. */
async function banner (fastify: FastifyInstance) {
  const { config, log } = fastify
  fastify.addHook('onListen', async () => {
    const address = fastify.server.address()
    const port = typeof address === 'object' && address !== null ? address.port : config.PORT
    const host = config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST
    const url = `http://${host}:${port}`
    if (config.DOCS === 'on') log.info(`API reference: ${url}/docs`)
    if (fastify.hasRoute({ method: 'GET', url: '/console' })) log.info(`Console: ${url}/console`)
    if (config.NODE_ENV === 'development') log.info(`Development admin: ${config.ADMIN_EMAIL} (its password is ADMIN_PASSWORD, see .env.example)`)
  })
}

export default fp(banner, { name: 'banner', dependencies: ['config'] })

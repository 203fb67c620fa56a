import type { FastifyPluginAsync } from 'fastify'
import { router } from './router.ts'

/** The Express router, for whoever has a valid token. `public: true` or scopes go here, as for any route. */
const legacy: FastifyPluginAsync = async fastify => {
  fastify.mountExpress(router, { methods: ['GET', 'POST'], config: { scopes: [] } })
}

export default legacy

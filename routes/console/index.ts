import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

const files = [
  ['', 'page.html', 'text/html; charset=utf-8'],
  ['/console.js', 'console.js', 'text/javascript; charset=utf-8'],
  ['/console.css', 'console.css', 'text/css; charset=utf-8']
] as const

/** The page loads its own two files and calls this service: nothing else. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

/** A page for development: the orders as they change, the queues and the plugins. Elsewhere it is not there. */
const developmentConsole: FastifyPluginAsyncTypebox = async fastify => {
  if (fastify.config.NODE_ENV !== 'development') return

  for (const [path, file, type] of files) {
    fastify.get(path, { config: { public: true }, schema: { hide: true } }, async (_request, reply) => {
      reply.headers({ 'content-security-policy': POLICY, 'content-type': type, 'cache-control': 'no-cache' })
      // Read at each request: what is changed shows at the next reload.
      return readFileSync(join(import.meta.dirname, file))
    })
  }

  fastify.get('/', { prefixTrailingSlash: 'slash', config: { public: true }, schema: { hide: true } }, async (_request, reply) => reply.redirect('/console'))

  fastify.get('/state', { config: { scopes: ['orders:admin'] }, schema: { hide: true } }, async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    return { queues: await fastify.jobs.queues(), plugins: fastify.printPlugins() }
  })
}

export default developmentConsole

import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'
import type { FastifyPluginAsync } from 'fastify'

const own = (name: string) => () => join(import.meta.dirname, name)
/** Of a package, what it has for browsers; devDependencies, which production does not have: looked for when they are asked for. */
const of = (name: string, path: string) => () => join(dirname(findPackageJSON(name, import.meta.url) ?? name), path)
const [script, style] = ['text/javascript; charset=utf-8', 'text/css; charset=utf-8']

const files = [
  ['', own('page.html'), 'text/html; charset=utf-8'],
  ['/start.js', own('start.js'), script],
  ['/page.css', own('page.css'), style],
  ['/react.js', of('react', 'umd/react.production.min.js'), script],
  ['/react-dom.js', of('react-dom', 'umd/react-dom.production.min.js'), script],
  ['/graphiql.js', of('graphiql', 'graphiql.min.js'), script],
  ['/graphiql.css', of('graphiql', 'graphiql.min.css'), style],
  ['/graphql-ws.js', of('graphql-ws', 'umd/graphql-ws.min.js'), script]
] as const

/** The page loads its own files and calls this service: nothing else. Its editor sets styles at run time, its fonts are in the style sheet. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** GraphiQL for development, from what npm installed. Elsewhere it is not there. */
const graphiql: FastifyPluginAsync = async fastify => {
  if (fastify.config.NODE_ENV !== 'development') return

  for (const [path, find, type] of files) {
    fastify.get(path, { config: { public: true }, schema: { hide: true } }, async (_request, reply) => {
      reply.headers({ 'content-security-policy': POLICY, 'content-type': type, 'cache-control': 'no-cache' })
      return readFileSync(find())
    })
  }

  fastify.get('/', { prefixTrailingSlash: 'slash', config: { public: true }, schema: { hide: true } }, async (_request, reply) => reply.redirect('/graphiql'))
}

export default graphiql

// Who may call what: every route, called by everyone. A route without a line in test/operations.ts fails by name.
import { createSigner } from 'fast-jwt'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import { routeList } from '../kit/route-list.ts'
import { bearer, buildApp, injectStream } from './helpers/app.ts'
import { operationsOf } from './operations.ts'

const app = await buildApp(t)
const { owner, other, admin, table } = await operationsOf(app)
let tables: { name: string }[] | undefined

/** In the order of `Statuses`. */
const callers: Record<string, { authorization?: string }> = {
  'no token': {},
  // Of an admin: what it was good for once does not matter.
  'an expired token': bearer(resigned(admin.token, { iat: 1000, exp: 2000 })),
  'another user': bearer(other.token),
  'the user': bearer(owner.token),
  'an admin': bearer(admin.token)
}

const routes = (await routeList()).map(({ method, path }) => ({ method: method as 'GET', path, name: `${method} ${path}` }))

for (const { method, path, name } of routes) {
  t.test(name, async (t) => {
    const line = table[name]
    if (!line) return t.fail(`say in test/operations.ts who may call ${name}`)
    for (const [index, [caller, authorization]] of Object.entries(callers).entries()) {
      const url = line.path ?? path.replace(':id', await line.id?.() ?? '')
      const payload = await line.payload?.()
      const headers = { ...line.headers, ...authorization }
      const before = await everything()
      const { statusCode } = await injectStream(app, { method, url, headers, payload })
      t.equal(statusCode, line.answers[index], caller)
      if (statusCode >= 400) t.same(await everything(), before, `${caller}: what is refused changes nothing`)
      if (method === 'GET') t.equal((await call('HEAD', url, { headers })).statusCode, statusCode, `${caller}: HEAD`)
    }
  })
}

t.test('the table has no line for a route that is gone', async (t) => {
  t.same(Object.keys(table).filter(line => !routes.some(({ name }) => name === line)), [])
})

t.test('it is its age alone that the expired token is refused for', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  t.equal((await call('GET', '/users', { headers: bearer(resigned(admin.token, { iat: now, exp: now + 60 })) })).statusCode, 200)
})

function call (method: 'GET' | 'POST' | 'HEAD', url: string, rest: InjectOptions) {
  return app.inject({ method, url, ...rest })
}

/** What the database has: a digest of the rows of each of its tables, those of the jobs included. */
async function everything (): Promise<Record<string, string>> {
  tables ??= await app.prisma.$queryRaw<{ name: string }[]>`
    SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`
  const digests = tables.map(({ name }) => `SELECT '${name}' AS name, md5(coalesce(string_agg(t::text, ' ' ORDER BY t::text), '')) AS rows FROM ${name} AS t`)
  const rows = await app.prisma.$queryRawUnsafe<{ name: string, rows: string }[]>(digests.join(' UNION ALL '))
  return Object.fromEntries(rows.map(({ name, rows }) => [name, rows]))
}

/** The token with other claims, signed with the same key. */
function resigned (token: string, claims: object): string {
  const [header, payload] = token.split('.').slice(0, 2).map(part => JSON.parse(Buffer.from(part, 'base64url').toString()))
  const sign = createSigner({ key: app.config.JWT_PRIVATE_KEY, algorithm: header.alg, kid: header.kid, header: { alg: header.alg, typ: header.typ } })
  return sign({ ...payload, ...claims })
}

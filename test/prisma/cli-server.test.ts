// The official Prisma CLI without the network on a PostgreSQL server.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { OFFLINE, Project, change, clientKnows, plainDatabase, rows } from './project.ts'

const server = process.env.TEST_DATABASE_URL

t.test('as a role that may not create databases', { skip: !server && 'TEST_DATABASE_URL is not set' }, async (t) => {
  const url = await plainDatabase(t, server!)
  const project = new Project(t, OFFLINE)
  writeFileSync(join(project.path, 'url'), `${url}\n`)
  writeFileSync(join(project.path, '.env'), 'DATABASE_URL_FILE=url\n')
  change(project, 'nickname String?')
  t.match(await project.prisma('migrate', 'dev', '--name', 'nickname'), { code: 0, stdout: /\d{14}_nickname/ })
  t.ok(clientKnows(project, 'nickname'))
  t.match(await project.prisma('migrate', 'diff', '--from-migrations', 'prisma/migrations', '--to-config-datasource', '--exit-code'), { code: 0 })
  t.match(await project.prisma('migrate', 'reset', '--force'), { code: 0, stdout: /Database reset successful/ })
  t.strictSame(await rows(url, 'SELECT nickname FROM users'), [])
  t.notOk(existsSync(project.dataDir), 'no embedded database is made')
})

// Settings of the storage that can't be, or are left out.
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'

t.test('a folder that cannot be made stops the start, by name', async t => {
  const folder = join(t.testdir({ file: '' }), 'file')
  await t.rejects(buildApp(t, { UPLOADS_DIR: folder }), { message: /UPLOADS_DIR: .* is no folder that can be written to \((ENOTDIR|EEXIST)\)/ })
})

t.test('in production it has to be said where files are kept', async t => {
  const production = async (t: Test, settings: Partial<Config>): Promise<{ app: FastifyInstance, lines: { msg: string }[] }> => await buildLogged(t, { NODE_ENV: 'production', ...settings })
  const { app, lines } = await production(t, {})
  t.ok(lines.some(({ msg }) => msg === 'neither UPLOADS_DIR nor UPLOADS_S3_BUCKET is set: there are no uploads'))
  t.equal((await app.inject({ method: 'POST', url: '/uploads' })).statusCode, 404)
  t.notOk(app.jobs.names().includes('remove-abandoned-uploads'))
  const { app: other } = await production(t, { UPLOADS_DIR: t.testdir() })
  t.equal((await other.inject({ method: 'POST', url: '/uploads' })).statusCode, 401)
})

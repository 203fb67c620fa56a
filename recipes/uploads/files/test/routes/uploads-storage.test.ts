// Storage that is away, full of something else, or asked for what it can't have.
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { diskStorage } from '../../plugins/uploads/disk.ts'
import { removeAbandoned } from '../../services/uploads.ts'
import { bearer, buildApp, registered } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { FORM_END, filesIn, openForm, startS3, upload, uploadedBy } from '../helpers/uploads.ts'
import { MiB, beginning, makeBucket, service } from '../helpers/uploads-service.ts'
import { until } from '../helpers/until.ts'

t.test('a folder that cannot be written to is 503, is in the log, and is tried again', async t => {
  const folder = t.testdir()
  const { app, lines } = await buildLogged(t, { UPLOADS_DIR: folder })
  const { token, id: ownerId } = await registered(app)
  rmSync(join(folder, 'partial'), { recursive: true })
  writeFileSync(join(folder, 'partial'), 'in the way')
  const response = await upload(app, token, [{ content: 'x', name: 'a.txt' }])
  t.match(response.json(), { status: 503, code: 'UNAVAILABLE' })
  t.notMatch(response.body, folder)
  t.match(lines.find(({ msg }) => msg.startsWith('The file could not be stored')), { level: 50, err: { message: /ENOTDIR|EEXIST/ } })
  rmSync(join(folder, 'partial'))
  t.equal((await upload(app, token, [{ content: 'x', name: 'a.txt' }])).statusCode, 201)
  // What could not be removed then, for the same reason, is the clean-up's.
  await removeAbandoned({ prisma: app.prisma, store: app.uploads, log: app.log }, { olderThan: 0, signal: new AbortController().signal })
  t.equal(await app.prisma.upload.count({ where: { ownerId } }), 1)
})

t.test('an S3 that is away when the service starts is 503; when it is there uploads go on', async t => {
  const first = await startS3(t)
  await first.stop()
  const app = await buildApp(t, first.settings)
  const { token, id: ownerId } = await registered(app)
  t.match((await upload(app, token, [{ content: 'x', name: 'a.txt' }])).json(), { status: 503, code: 'UNAVAILABLE' })
  t.equal(await app.prisma.upload.count({ where: { ownerId } }), 1, 'its row is kept: who knows what arrived')
  t.equal((await app.inject('/health/ready')).statusCode, 200, 'the rest of the service is ready')
  const second = await startS3(t, first.port)
  const bucket = second.settings.UPLOADS_S3_BUCKET!
  // The bucket of the service is another: it is refused for that, and works when there is such a one.
  t.match((await upload(app, token, [{ content: 'x', name: 'a.txt' }])).json(), { status: 503 }, `not in ${bucket}`)
  await makeBucket(first)
  t.equal((await upload(app, token, [{ content: 'x', name: 'a.txt' }])).statusCode, 201)
  await removeAbandoned({ prisma: app.prisma, store: app.uploads, log: app.log }, { olderThan: 0, signal: new AbortController().signal })
  t.equal(await app.prisma.upload.count({ where: { ownerId } }), 1)
})

t.test('an S3 that goes away in the middle ends an upload with 503', async t => {
  const run = await service(t, 's3')
  const form = openForm(run.origin, run.token)
  await form.send(beginning)
  await until(() => run.s3!.parts().length > 0)
  await run.s3!.stop()
  await form.send(randomBytes(14 * MiB))
  form.end(FORM_END)
  t.match(await form.answer, { status: 503, body: { code: 'UNAVAILABLE' } })
})

t.test('a deleted file whose bytes cannot be removed is gone for its owner, and removed later', async t => {
  const { app, s3, token, rows } = await service(t, 's3')
  const id = await uploadedBy(app, token)
  const { port } = s3!
  await s3!.stop()
  t.equal((await app.inject({ method: 'DELETE', url: `/uploads/${id}`, headers: bearer(token) })).statusCode, 204)
  t.equal((await app.inject({ url: `/uploads/${id}`, headers: bearer(token) })).statusCode, 404)
  t.equal(await rows(), 1)
  const uploading = { prisma: app.prisma, store: app.uploads, log: app.log }
  const policy = { olderThan: 0, signal: new AbortController().signal }
  await t.rejects(removeAbandoned(uploading, policy), { name: 'StorageError' })
  t.equal(await rows(), 1)
  await startS3(t, port)
  await makeBucket(s3!)
  t.equal(await removeAbandoned(uploading, policy), 1)
  t.equal(await rows(), 0)
})

t.test('keys that are no ids never become paths', async t => {
  const folder = t.testdir()
  mkdirSync(join(folder, 'x'))
  const store = diskStorage(join(folder, 'x'))
  for (const key of ['../a', '..', '', 'a/b', '/etc/passwd', `${randomUUID()}/../../a`]) {
    await t.rejects(async () => await store.read(key), TypeError)
    await t.rejects(async () => await store.remove(key), TypeError)
    await t.rejects(async () => await store.write(key, (async function * () { yield Buffer.from('x') })(), ''), TypeError)
  }
  t.same(filesIn(folder), [])
})

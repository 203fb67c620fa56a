// Uploads that end otherwise than they should, over real connections, to a folder and to a bucket: nothing is left of any.
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { diskStorage } from '../../plugins/uploads/disk.ts'
import { removeAbandoned, type FileStore } from '../../services/uploads.ts'
import { bearer, buildApp, registered } from '../helpers/app.ts'
import { buildLogged } from '../helpers/log.ts'
import { FORM_END, PDF, filesIn, openForm, partHead, startS3, upload, uploadedBy } from '../helpers/uploads.ts'
import { until } from '../helpers/until.ts'

const MiB = 1024 * 1024
const head = partHead({ name: 'a.pdf', type: 'application/pdf' })
/** More than is sniffed, and than connections and streams hold; two parts of a multipart upload are under way. */
const beginning = Buffer.concat([Buffer.from(head), PDF, randomBytes(14 * MiB)])

/** A service, what its storage has, and a user. */
async function service (t: Test, kind: string, settings: Partial<Config> = {}) {
  const s3 = kind === 's3' ? await startS3(t) : undefined
  const folder = t.testdir()
  const app = await buildApp(t, { UPLOAD_MAX_BYTES: 40 * MiB, ...s3?.settings ?? { UPLOADS_DIR: folder }, ...settings })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  await app.prisma.upload.deleteMany()
  const stored = () => s3 ? [...s3.objects(), ...s3.parts()] : filesIn(folder)
  return { app, origin, folder, s3, stored, rows: async () => await app.prisma.upload.count(), ...await registered(app) }
}

const nothingOf = async ({ stored, rows }: { stored: () => string[], rows: () => Promise<number> }) => await rows() === 0 && stored().length === 0

for (const kind of ['disk', 's3']) {
  t.test(`a file of several parts, to ${kind}, comes back as it was`, async t => {
    const { app, origin, token, stored } = await service(t, kind)
    const form = openForm(origin, token)
    await form.send(beginning)
    form.end(FORM_END)
    const { status, headers } = await form.answer
    t.equal(status, 201)
    t.equal(stored().length, 1)
    const all = await fetch(`${origin}${headers.location}/content`, { headers: bearer(token) })
    t.ok(beginning.subarray(head.length).equals(Buffer.from(await all.arrayBuffer())))
    const range = await fetch(`${origin}${headers.location}/content`, { headers: { ...bearer(token), range: 'bytes=7000000-7000009' } })
    t.equal(range.status, 206)
    t.same(Buffer.from(await range.arrayBuffer()), beginning.subarray(head.length + 7_000_000, head.length + 7_000_010))
    t.equal((await app.inject({ method: 'DELETE', url: String(headers.location), headers: bearer(token) })).statusCode, 204)
    t.same(stored(), [])
  })

  t.test(`a client that hangs up leaves nothing in ${kind}`, async t => {
    const run = await service(t, kind)
    const form = openForm(run.origin, run.token)
    await form.send(beginning)
    await until(async () => await run.rows() === 1 && run.stored().length > 0)
    t.same((await run.app.inject({ url: '/uploads', headers: bearer(run.token) })).json().items, [], 'it is not to be seen meanwhile')
    form.hangUp()
    await until(() => nothingOf(run))
    await until(() => run.app.uploads.admission.count() === 0)
    t.pass()
  })

  t.test(`a file that turns out too large leaves nothing in ${kind}, and its client is told`, async t => {
    const run = await service(t, kind, { UPLOAD_MAX_BYTES: 10 * MiB })
    const form = openForm(run.origin, run.token)
    await form.send(beginning)
    form.end(FORM_END)
    t.match(await form.answer, { status: 413, body: { code: 'FILE_TOO_LARGE' } })
    await until(() => nothingOf(run))
  })

  t.test(`an earlier file of the form goes with a later one that is refused (${kind})`, async t => {
    const run = await service(t, kind)
    const form = openForm(run.origin, run.token)
    await form.send(beginning)
    await form.send(`\r\n${partHead({ name: 'b.png', type: 'image/png' })}no image`)
    form.end(FORM_END)
    t.match(await form.answer, { status: 415, body: { code: 'FILE_TYPE_MISMATCH' } })
    await until(() => nothingOf(run))
  })

  t.test(`a file whose row is gone when it is complete is not kept in ${kind}`, async t => {
    const run = await service(t, kind)
    const form = openForm(run.origin, run.token)
    await form.send(beginning)
    await until(async () => await run.rows() === 1)
    await run.app.prisma.upload.deleteMany()
    form.end(FORM_END)
    t.match(await form.answer, { status: 500, body: { code: 'INTERNAL_ERROR' } })
    await until(() => nothingOf(run))
  })

  t.test(`a download whose client hangs up lets go of ${kind}`, async t => {
    const { app, origin, token } = await service(t, kind)
    const form = openForm(origin, token)
    await form.send(beginning)
    form.end(FORM_END)
    const { headers: { location } } = await form.answer
    for (let n = 0; n < 5; n++) {
      const control = new AbortController()
      const response = await fetch(`${origin}${location}/content`, { headers: bearer(token), signal: control.signal })
      await response.body!.getReader().read()
      control.abort()
    }
    // What is open holds the close of the service.
    await until(() => new Promise<boolean>(resolve => app.server.getConnections((_error, count) => resolve(count <= 2))))
    t.equal((await (await fetch(`${origin}${location}/content`, { headers: bearer(token) })).arrayBuffer()).byteLength, beginning.length - head.length)
  })
}

t.test('an upload may take longer than REQUEST_TIMEOUT_MS', async t => {
  // The time-out is also that of statements: another service makes the user.
  const { token } = await registered(await buildApp(t))
  const app = await buildApp(t, { UPLOADS_DIR: t.testdir(), REQUEST_TIMEOUT_MS: 2_000 })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const form = openForm(origin, token)
  await form.send(`${partHead({ name: 'a.txt' })}begun `)
  // Until the service has cut off a request begun later that may not take as long.
  t.equal((await fetch(`${origin}/users/me`, { method: 'PATCH', duplex: 'half', headers: { ...bearer(token), 'content-type': 'application/json' }, body: new ReadableStream({ start: control => control.enqueue(Buffer.from('{')) }) } as RequestInit)).status, 408)
  form.end(`and ended${FORM_END}`)
  t.equal((await form.answer).status, 201)
  t.equal(app.uploads.admission.count(), 0)
})

t.test('but not longer than UPLOAD_TIMEOUT: then its client is told, and nothing is left', async t => {
  const run = await service(t, 'disk', { UPLOAD_TIMEOUT: 1_000 })
  const form = openForm(run.origin, run.token)
  await form.send(beginning)
  t.match(await form.answer, { status: 408, body: { code: 'REQUEST_TIMEOUT' } })
  await until(() => nothingOf(run))
})

t.test('a user has some uploads under way, all users together some more', async t => {
  const { app, origin, token } = await service(t, 'disk', { UPLOADS_PER_USER_MAX: 2, UPLOADS_MAX: 3 })
  const others = [await registered(app), await registered(app)]
  const begin = async (token: string) => {
    const form = openForm(origin, token)
    await form.send(`${partHead({ name: 'a.txt' })}text`)
    return form
  }
  const first = [await begin(token), await begin(token)]
  await until(() => app.uploads.admission.count() === 2)
  const refusedUser = await upload(app, token, [{ content: 'x', name: 'a.txt' }])
  t.match({ status: refusedUser.statusCode, code: refusedUser.json().code }, { status: 429, code: 'RATE_LIMITED' })
  t.ok(refusedUser.headers['retry-after'])
  first.push(await begin(others[0]!.token))
  await until(() => app.uploads.admission.count() === 3)
  const refusedAll = await upload(app, others[1]!.token, [{ content: 'x', name: 'a.txt' }])
  t.match({ status: refusedAll.statusCode, code: refusedAll.json().code }, { status: 503, code: 'OVERLOADED' })
  for (const form of first) form.end(FORM_END)
  for (const form of first) t.equal((await form.answer).status, 201)
  t.equal((await upload(app, token, [{ content: 'x', name: 'a.txt' }])).statusCode, 201)
})

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

t.test('a folder that cannot be made stops the start, by name', async t => {
  const folder = join(t.testdir({ file: '' }), 'file')
  await t.rejects(buildApp(t, { UPLOADS_DIR: folder }), { message: /UPLOADS_DIR: .* is no folder that can be written to \((ENOTDIR|EEXIST)\)/ })
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
  await fetch(`http://127.0.0.1:${first.port}/${first.settings.UPLOADS_S3_BUCKET}`, { method: 'PUT', headers: { authorization: 'AWS4-HMAC-SHA256 Credential=key/20261127/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x' } })
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
  const again = await startS3(t, port)
  await fetch(`http://127.0.0.1:${again.port}/${s3!.settings.UPLOADS_S3_BUCKET}`, { method: 'PUT', headers: { authorization: 'AWS4-HMAC-SHA256 Credential=key/20261127/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x' } })
  t.equal(await removeAbandoned(uploading, policy), 1)
  t.equal(await rows(), 0)
})

t.test('the clean-up', async t => {
  const folder = t.testdir()
  const app = await buildApp(t, { UPLOADS_DIR: folder })
  const store = diskStorage(folder)
  const { token } = await registered(app)
  const uploading = { prisma: app.prisma, store, log: app.log }
  const policy = { olderThan: 3_600_000, signal: new AbortController().signal }
  /** What a killed process leaves: a row, and bytes that are complete or not. */
  const left = async (where: 'partial' | 'complete' | 'none', hours: number) => {
    const { id } = await app.prisma.upload.create({ data: { ownerId: randomUUID(), name: 'a', type: 'text/plain', createdAt: new Date(Date.now() - hours * 3_600_000) } })
    if (where === 'complete') await store.write(id, (async function * () { yield Buffer.from('x') })(), 'text/plain')
    if (where === 'partial') writeFileSync(join(folder, 'partial', id), 'half')
    return id
  }
  await app.prisma.upload.deleteMany()
  const kept = await uploadedBy(app, token)
  await app.prisma.upload.update({ where: { id: kept }, data: { createdAt: new Date(0) } })

  await t.test('removes what is old and never came to its end, and nothing else', async t => {
    for (const where of ['partial', 'complete', 'none'] as const) await left(where, 2)
    const young = await left('partial', 0.5)
    t.equal(await removeAbandoned(uploading, policy), 3)
    t.same(filesIn(folder).map(path => path.slice(-36)).sort(), [kept, young].sort())
    t.equal(await app.prisma.upload.count(), 2)
    t.equal(await removeAbandoned(uploading, policy), 0, 'again there is nothing to do')
  })

  await t.test('goes on behind what cannot be removed, and tells of it', async t => {
    const ids: string[] = []
    for (let n = 0; n < 205; n++) ids.push(await left('none', 2))
    const failing: FileStore = { ...store, remove: async key => { if (key === ids[3]) throw new Error('not now'); await store.remove(key) } }
    await t.rejects(removeAbandoned({ ...uploading, store: failing }, policy), { message: 'not now' })
    t.same((await app.prisma.upload.findMany({ where: { storedAt: null, createdAt: { lt: new Date(Date.now() - 3_600_000) } } })).map(({ id }) => id), [ids[3]])
    t.equal(await removeAbandoned(uploading, policy), 1)
  })

  await t.test('may run several times at once', async () => {
    for (let n = 0; n < 20; n++) await left('complete', 2)
    await Promise.all([1, 2, 3].map(async () => await removeAbandoned(uploading, policy)))
    t.equal(await app.prisma.upload.count({ where: { storedAt: null, createdAt: { lt: new Date(Date.now() - 3_600_000) } } }), 0)
  })

  await t.test('stops when it is told to', async t => {
    await left('none', 2)
    await t.rejects(removeAbandoned(uploading, { ...policy, signal: AbortSignal.abort(new Error('shutdown')) }), /shutdown/)
  })

  t.ok(app.jobs.names().includes('remove-abandoned-uploads'))
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

t.test('in production it has to be said where files are kept', async t => {
  const production = async (t: Test, settings: Partial<Config>): Promise<{ app: FastifyInstance, lines: { msg: string }[] }> => await buildLogged(t, { NODE_ENV: 'production', ...settings })
  const { app, lines } = await production(t, {})
  t.ok(lines.some(({ msg }) => msg === 'neither UPLOADS_DIR nor UPLOADS_S3_BUCKET is set: there are no uploads'))
  t.equal((await app.inject({ method: 'POST', url: '/uploads' })).statusCode, 404)
  t.notOk(app.jobs.names().includes('remove-abandoned-uploads'))
  const { app: other } = await production(t, { UPLOADS_DIR: t.testdir() })
  t.equal((await other.inject({ method: 'POST', url: '/uploads' })).statusCode, 401)
})

// What killed processes leave, and the job that removes it.
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { diskStorage } from '../../plugins/uploads/disk.ts'
import { removeAbandoned, type FileStore } from '../../services/uploads.ts'
import { buildApp, registered } from '../helpers/app.ts'
import { filesIn, uploadedBy } from '../helpers/uploads.ts'

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

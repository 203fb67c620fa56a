import type { Readable } from 'node:stream'
import { Prisma, type PrismaClient } from '../prisma/generated/client.ts'
import { inTransaction, type Database } from './database.ts'
import { DomainError } from './errors.ts'
import { takeIn, type IncomingFile } from './file-intake.ts'
import { fileName } from './file-names.ts'
import { keyset, type Page, type PageQuery } from './pagination.ts'

/** A file as its owner sees it; `size` is in bytes. */
export interface Upload { id: string, name: string, type: string, size: number, sha256: string, createdAt: Date }

/** Where the bytes are kept, each file's under its id. `remove` of what is not there is no error. */
export interface FileStore {
  write: (key: string, content: AsyncIterable<Uint8Array>, type: string) => Promise<void>
  read: (key: string, range?: { start: number, end: number }) => Promise<Readable>
  remove: (key: string) => Promise<void>
}

/** What may be uploaded: media types, bytes of each file, files of each request. */
export interface UploadPolicy { types: readonly string[], maxBytes: number, maxFiles: number }

/** Where what went wrong is said that no caller is told of. */
export interface Log { error: (details: object, message: string) => void }

export interface Uploading { prisma: PrismaClient, store: FileStore, log: Log }

interface Row { id: string, name: string, type: string, size: bigint, sha256: Uint8Array, createdAt: Date }

const columns = Prisma.sql`id, name, type, size, sha256, created_at AS "createdAt"`
const order = keyset('uploads', { createdAt: { column: 'created_at', kind: 'time', value: (upload: Upload) => upload.createdAt } })
const BATCH = 100

/**
 * Stores the files of a request, all or none. Each has a row before it has a byte, so that whatever is killed when, what has bytes
 * is known; it can be seen when all are complete.
 * @throws DomainError NO_FILE, EMPTY_FILE, FILE_TOO_LARGE, FILE_TYPE_MISMATCH, UNSUPPORTED_FILE_TYPE, or what `files` or the store throws
 */
export async function storeUploads (uploading: Uploading, ownerId: string, files: AsyncIterable<IncomingFile>, policy: UploadPolicy, signal: AbortSignal): Promise<Upload[]> {
  const { prisma } = uploading
  const ids: string[] = []
  try {
    for await (const file of files) {
      await storeOne(uploading, ownerId, file, policy, id => ids.push(id))
      signal.throwIfAborted()
    }
    if (ids.length === 0) throw new DomainError('NO_FILE', 'The form has no file.')
    return await publish(prisma, ids, signal)
  } catch (error) {
    await takeBack(uploading, ids)
    throw error
  }
}

async function storeOne ({ prisma, store }: Uploading, ownerId: string, file: IncomingFile, policy: UploadPolicy, begun: (id: string) => void): Promise<void> {
  const intake = await takeIn(file, policy)
  const { type } = intake.kind
  const { id } = await prisma.upload.create({ data: { ownerId, name: fileName(file.name), type }, select: { id: true } })
  begun(id)
  try {
    await store.write(id, intake.content, type)
  } catch (error) {
    // Stores tell of their own troubles; this is the client's.
    throw intake.failure() ?? error
  }
  // If it is not there any more, that is found when it is to be seen.
  await prisma.upload.updateMany({ where: { id }, data: intake.result() })
}

/** In one transaction, in the order of the request. */
async function publish (prisma: PrismaClient, ids: string[], signal: AbortSignal): Promise<Upload[]> {
  const rows = await inTransaction(prisma, async tx => {
    const rows = await tx.$queryRaw<Row[]>`UPDATE uploads SET stored_at = now() WHERE id = ANY(${ids}::uuid[]) AND stored_at IS NULL RETURNING ${columns}`
    if (rows.length !== ids.length) throw new Error('an upload was cleared up before it was complete')
    signal.throwIfAborted()
    return rows
  })
  return rows.map(visible).sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id))
}

/** What is left when this fails, too, the clean-up takes. */
async function takeBack (uploading: Uploading, ids: string[]): Promise<void> {
  if (ids.length === 0) return
  try {
    // The transaction that published them may have been committed, and its answer lost.
    await uploading.prisma.$executeRaw`UPDATE uploads SET stored_at = NULL WHERE id = ANY(${ids}::uuid[])`
    for (const id of ids) await purge(uploading, id)
  } catch (err) {
    uploading.log.error({ err, uploads: ids }, 'what is left of an upload could not be removed: the clean-up will')
  }
}

/** Bytes first: without its row nobody would know of them. */
async function purge ({ prisma, store }: Omit<Uploading, 'log'>, id: string): Promise<void> {
  await store.remove(id)
  await prisma.$executeRaw`DELETE FROM uploads WHERE id = ${id}::uuid AND stored_at IS NULL`
}

/**
 * One's own files, newest first.
 * @throws DomainError INVALID_CURSOR
 */
export async function listUploads (db: Database, ownerId: string, query: PageQuery): Promise<Page<Upload>> {
  const { after, by, take } = order.seek('-createdAt', query)
  const rows = await db.$queryRaw<Row[]>`
    SELECT ${columns} FROM uploads WHERE owner_id = ${ownerId}::uuid AND stored_at IS NOT NULL AND ${after} ORDER BY ${by} LIMIT ${take}`
  return order.page(rows.map(visible), '-createdAt', query)
}

/** @throws DomainError NOT_FOUND, also for another's */
export async function findUpload (db: Database, ownerId: string, id: string): Promise<Upload> {
  const [row] = await db.$queryRaw<Row[]>`SELECT ${columns} FROM uploads WHERE id = ${id}::uuid AND owner_id = ${ownerId}::uuid AND stored_at IS NOT NULL`
  if (row === undefined) throw notFound()
  return visible(row)
}

/**
 * Deletes a file. It is gone at once; its bytes go with it, or with the next clean-up when the store is away.
 * @throws DomainError NOT_FOUND, also for another's
 */
export async function deleteUpload (uploading: Uploading, ownerId: string, id: string): Promise<void> {
  const { prisma, log } = uploading
  const { count } = await prisma.upload.updateMany({ where: { id, ownerId, storedAt: { not: null } }, data: { storedAt: null } })
  if (count === 0) throw notFound()
  await purge(uploading, id).catch(err => log.error({ err, upload: id }, 'the bytes of a deleted file are left: the clean-up will remove them'))
}

/**
 * Removes what is left of uploads that never came to their end, and of deleted files. It may run at any time, anywhere, and again.
 * @param olderThan milliseconds, more than any upload takes
 * @returns how many there were
 * @throws the last failure, when it has tried all
 */
export async function removeAbandoned (uploading: Uploading, { olderThan, signal }: { olderThan: number, signal: AbortSignal }): Promise<number> {
  const { prisma, log } = uploading
  let [removed, last, failure] = [0, '00000000-0000-0000-0000-000000000000', undefined as unknown]
  for (;;) {
    const rows = await prisma.$queryRaw<{ id: string }[]>`
      SELECT id FROM uploads WHERE stored_at IS NULL AND created_at < now() - make_interval(secs => ${olderThan / 1000}) AND id > ${last}::uuid ORDER BY id LIMIT ${BATCH}`
    for (const { id } of rows) {
      signal.throwIfAborted()
      try {
        await purge(uploading, id)
        removed++
      } catch (err) {
        log.error({ err, upload: id }, 'what is left of an upload could not be removed')
        failure = err
      }
      last = id
    }
    if (rows.length < BATCH) break
  }
  if (failure !== undefined) throw failure
  return removed
}

function visible ({ size, sha256, ...row }: Row): Upload {
  return { ...row, size: Number(size), sha256: Buffer.from(sha256).toString('hex') }
}

function notFound (): DomainError {
  return new DomainError('NOT_FOUND', 'There is no such file.')
}

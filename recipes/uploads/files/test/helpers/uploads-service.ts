// A service with uploads to a folder or to a bucket, a large file, and what is left of it.
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp, registered } from './app.ts'
import { PDF, filesIn, partHead, startS3 } from './uploads.ts'

export const MiB = 1024 * 1024
export const head = partHead({ name: 'a.pdf', type: 'application/pdf' })
/** More than is sniffed, and than connections and streams hold; two parts of a multipart upload are under way. */
export const beginning = Buffer.concat([Buffer.from(head), PDF, randomBytes(14 * MiB)])

/** A service, what its storage has, and a user. */
export async function service (t: Test, kind: string, settings: Partial<Config> = {}) {
  const s3 = kind === 's3' ? await startS3(t) : undefined
  const folder = t.testdir()
  const app = await buildApp(t, { UPLOAD_MAX_BYTES: 40 * MiB, ...s3?.settings ?? { UPLOADS_DIR: folder }, ...settings })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  await app.prisma.upload.deleteMany()
  const stored = () => s3 ? [...s3.objects(), ...s3.parts()] : filesIn(folder)
  return { app, origin, folder, s3, stored, rows: async () => await app.prisma.upload.count(), ...await registered(app) }
}

/** Whether nothing is left, neither rows nor bytes. */
export const nothingOf = async ({ stored, rows }: { stored: () => string[], rows: () => Promise<number> }) => await rows() === 0 && stored().length === 0

/** Makes a bucket anew, on a server that took the place of its own. */
export async function makeBucket ({ port, settings }: Pick<Awaited<ReturnType<typeof startS3>>, 'port' | 'settings'>): Promise<void> {
  await fetch(`http://127.0.0.1:${port}/${settings.UPLOADS_S3_BUCKET}`, { method: 'PUT', headers: { authorization: 'AWS4-HMAC-SHA256 Credential=key/20261127/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x' } })
}

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import { startFauxqs } from 'fauxqs'
import type { Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { bearer } from './app.ts'

/** A file of a form as it is sent; a part without a name is a field. `header` is its Content-Disposition, byte by byte. */
export interface Part { content: string | Buffer, name?: string, type?: string, field?: string, header?: string }

export const BOUNDARY = 'aBoundaryThatNoTestHasInAFile'
export const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`
export const FORM_END = `\r\n--${BOUNDARY}--\r\n`
export const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')
export const PDF = Buffer.from('%PDF-1.7\n%\xE2\xE3\xCF\xD3\n', 'latin1')

/** A form with a text file. */
export function textForm (): FormData {
  const form = new FormData()
  form.append('file', new Blob(['Hello\n'], { type: 'text/plain' }), 'hello.txt')
  return form
}

/** How a part of a form begins. */
export function partHead ({ name, type, field = 'file', header }: Omit<Part, 'content'>): string {
  return `--${BOUNDARY}\r\n${header ?? `content-disposition: form-data; name="${field}"${name === undefined ? '' : `; filename="${name}"`}`}\r\n${type === undefined ? '' : `content-type: ${type}\r\n`}\r\n`
}

/** The bytes of a form. */
export function formOf (parts: Part[], end = `--${BOUNDARY}--\r\n`): Buffer {
  return Buffer.concat([...parts.flatMap(({ content, ...part }) => [Buffer.from(partHead(part)), Buffer.from(content), Buffer.from('\r\n')]), Buffer.from(end)])
}

/** Sends a form. */
export async function upload (app: FastifyInstance, token: string, parts: Part[], end?: string) {
  return await app.inject({ method: 'POST', url: '/uploads', headers: { ...bearer(token), 'content-type': FORM_TYPE }, payload: formOf(parts, end) })
}

/** The id of a text file that somebody has uploaded. */
export async function uploadedBy (app: FastifyInstance, token: string): Promise<string> {
  const { items } = (await upload(app, token, [{ content: 'Hello\n', name: 'hello.txt' }])).json() as { items: { id: string }[] }
  return items[0]?.id ?? ''
}

/** The files of a folder and the folders in it, by their paths. */
export function filesIn (folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name)).sort()
}

export interface SlowForm {
  /** Sends some of it; resolves when the service takes more. */
  send: (bytes: string | Buffer) => Promise<void>
  end: (bytes?: string) => void
  hangUp: () => void
  answer: Promise<{ status: number, headers: IncomingMessage['headers'], body: { code?: string, detail?: string, items?: { id: string, size: number, sha256: string }[] } }>
}

/** A form on a connection of its own, sent as it comes. */
export function openForm (origin: string, token: string, headers: Record<string, string> = {}): SlowForm {
  const { promise: answer, resolve, reject } = Promise.withResolvers<Awaited<SlowForm['answer']>>()
  const sending = request(`${origin}/uploads`, { method: 'POST', agent: false, headers: { ...bearer(token), 'content-type': FORM_TYPE, ...headers } }, async response => {
    resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(String(await buffer(response))) })
  })
  sending.on('error', reject)
  const closed = new Promise(resolve => sending.once('close', resolve))
  answer.catch(() => {})
  return {
    send: async bytes => { if (!sending.write(bytes) && !sending.destroyed) await Promise.race([once(sending, 'drain').catch(() => {}), closed]) },
    end: bytes => { sending.end(bytes) },
    hangUp: () => sending.destroy(),
    answer
  }
}

/** An S3 in this process, and the settings for a bucket of it. Ends with the test. */
export async function startS3 (t: Test, port = 0) {
  const folder = t.testdir()
  const server = await startFauxqs({ port, host: '127.0.0.1', logger: false, s3StorageDir: folder })
  const bucket = `keel-${randomUUID()}`
  server.createBucket(bucket)
  let isStopped = false
  const stop = async () => {
    if (!isStopped) await server.stop()
    isStopped = true
  }
  t.teardown(stop)
  const settings: Partial<Config> = { UPLOADS_S3_BUCKET: bucket, UPLOADS_S3_ENDPOINT: `http://127.0.0.1:${server.port}`, UPLOADS_S3_ACCESS_KEY_ID: 'key', UPLOADS_S3_SECRET_ACCESS_KEY: 'secret' }
  return {
    settings,
    stop,
    port: server.port,
    /** The keys of the objects, and the parts of those that are not complete. */
    objects: () => filesIn(join(folder, 'buckets', bucket, 'objects')).filter(path => path.endsWith('.data')).map(path => path.slice(join(folder, 'buckets', bucket, 'objects').length + 1, -'.data'.length)),
    parts: () => filesIn(join(folder, '_multipart'))
  }
}
